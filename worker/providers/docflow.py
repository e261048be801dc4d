"""TextIn DocFlow reviews: one call retries one review, or one rule of it, and overwrites its result.

Facts: "Retry Review Task", "Get Review Results" and "Access Credentials" of the DocFlow documents, its Python SDK, and
the code tables of TextIn's other APIs: DocFlow itself publishes no code but 200.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

import httpx

from models.capabilities import DOCFLOW, Capabilities
from models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    Look,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
)
from models.states import DeadReason

from .base import Account, Answer, Call, Exchange, Looked, Plan, Provider, Request, TaskRef
from .http_answers import (
    WRONG_ADDRESS,
    Said,
    as_look,
    by_status,
    fields,
    filled,
    items,
    number,
    read_json,
    redirected,
    reworded,
    said,
    short_mark,
    text,
    unanswered,
)
from .signing import HeaderAuth, WithoutLogin, docflow_headers
from .tasks import each, grouped

API: Final = "/api/app-api/sip/platform/v2"
OK: Final = 200
REVIEW, RULE = DOCFLOW.kinds

CODES: Final[Mapping[int, Outcome]] = {
    400: Already(),  # bad parameter
    1005006016: Already(),  # already being processed
    500: Unknown(),
    30203: Unknown(),  # base service fault
    50011: Unknown(),  # model error
    50012: Unknown(),  # model error
    50207: Unknown(),  # partly failed
    40101: Blocked(cause=Cause.CREDENTIALS),  # id or secret empty
    40102: Blocked(cause=Cause.CREDENTIALS),  # id or secret wrong
    40103: Blocked(cause=Cause.CREDENTIALS),  # address not allowed
    40003: Blocked(cause=Cause.BALANCE),
    40400: WRONG_ADDRESS,  # bad URL
    # "Do not retry, continued requests may trigger IP flow control".
    40306: Throttled(wait_seconds=600),
    # Not documented; a body's code that repeats one of HTTP's can only mean the same.
    401: Blocked(cause=Cause.CREDENTIALS),
    403: Already(forbidden=True),
    423: Unknown(),
    429: Throttled(),
    # Not documented either. By its number an internal error, after which the retry may have been applied.
    50000: Unknown(),
    900: Unknown(),  # the SDK's "custom business error", which it repeats
}
"""What a body's code means; any other is a refusal that proves nothing."""

STATES: Final[Mapping[int, tuple[State, str]]] = {
    0: (State.RUNNING, "pending"),
    1: (State.SUCCEEDED, "approved"),
    2: (State.FAILED, "review failed"),
    3: (State.RUNNING, "reviewing"),
    4: (State.SUCCEEDED, "rejected"),  # a verdict: the review ran
    5: (State.RUNNING, "recognizing"),
    6: (State.RUNNING, "in queue"),
    7: (State.FAILED, "recognition failed upstream"),
}
"""A review's ``status`` and a rule's ``review_result`` share these values."""

RECOGNITION_FAILED: Final = "7"


class DocFlow(WithoutLogin, Provider):
    """One TextIn application."""

    capabilities: ClassVar[Capabilities] = DOCFLOW

    def __init__(self, account: Account) -> None:
        self._options = account.options

    def auth(self, token: str | None) -> httpx.Auth:  # noqa: ARG002 - DocFlow has no login
        """Send the secret itself, or sign with it."""
        return HeaderAuth(self._headers)

    def _headers(self, request: httpx.Request) -> Mapping[str, str]:
        app_id, secret = self._options["app_id"], self._options["secret_code"]
        headers = {"x-ti-app-id": app_id, "x-ti-secret-code": secret}
        if self._options.get("auth") == "hmac":
            headers = docflow_headers(request, app_id, secret, at=datetime.now(UTC))
        enterprise_id = self._options.get("enterprise_id")
        return headers | ({"x-ti-enterprise-id": enterprise_id} if enterprise_id else {})

    # --- Retries -------------------------------------------------------------------------------------------------

    def retries(self, tasks: Sequence[TaskRef]) -> Plan:
        """One call per review or rule."""
        good, hopeless = self._triage(tasks)
        same = grouped(good, lambda task: tuple(self._ids(task).items()))
        refused = {id_: Refused(reason=DeadReason.REFUSED, message=why) for id_, why in hopeless.items()}
        return Plan(tuple(self._retry(group) for group in same), refused)

    def _retry(self, tasks: tuple[TaskRef, ...]) -> Call:
        ids = self._ids(tasks[0])
        return self._call(RULE.retry_path if "rule_id" in ids else REVIEW.retry_path, ids, tasks)

    def outcomes(self, call: Call, exchange: Exchange) -> Mapping[int, Outcome]:
        """Accepted only where both HTTP and the body say 200."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return each(call.tasks, unanswered(exchange))
        body, words = _open(answer)
        return each(call.tasks, Accepted(**words) if _succeeded(answer, body) else _refusal(answer, body, words))

    # --- Checks --------------------------------------------------------------------------------------------------

    def checks(self, tasks: Sequence[TaskRef]) -> Plan:
        """One call per review: its result shows the review and all its rules."""
        good, hopeless = self._triage(tasks)
        same = grouped(good, lambda task: (self._workspace_id(task), task.external_id))
        gone = {id_: _gone(DeadReason.REFUSED, why) for id_, why in hopeless.items()}
        return Plan(tuple(self._check(group) for group in same), gone)

    def _check(self, tasks: tuple[TaskRef, ...]) -> Call:
        ids = {"workspace_id": self._workspace_id(tasks[0]), "task_id": tasks[0].external_id}
        return self._call(REVIEW.check_path, ids, tasks)

    def looks(self, call: Call, exchange: Exchange) -> Looked:
        """Judge a review by its status, and a rule by its own result whatever the review's is."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return Looked(each(call.tasks, unanswered(exchange)))
        body, words = _open(answer)
        if not _succeeded(answer, body):
            return Looked(each(call.tasks, as_look(_refusal(answer, body, words))))
        result, keep = fields(body.get("result")), bool(self._options.get("archive_results"))
        return Looked({task.id: _look(task, result, words, keep=keep) for task in call.tasks})

    # --- Asking --------------------------------------------------------------------------------------------------

    def _call(self, path: str, ids: Mapping[str, str], tasks: tuple[TaskRef, ...]) -> Call:
        return Call(Request("POST", API + path, json=ids), tasks, path)

    def _workspace_id(self, task: TaskRef) -> str:
        return text(task.params.get("workspace_id")).strip() or text(self._options.get("workspace_id"))

    def _ids(self, task: TaskRef) -> dict[str, str]:
        ids = {"workspace_id": self._workspace_id(task), "task_id": task.external_id}
        return ids | ({"rule_id": task.sub_id} if task.kind == RULE.name else {})

    def _triage(self, tasks: Sequence[TaskRef]) -> tuple[list[TaskRef], dict[int, str]]:
        """The tasks that can be asked for, and why the others cannot."""
        hopeless = {task.id: why for task in tasks if (why := self._why_not(task))}
        return [task for task in tasks if task.id not in hopeless], hopeless

    def _why_not(self, task: TaskRef) -> str:
        ids = self._ids(task)
        if not ids["workspace_id"]:
            return "no workspace_id: set it for the account, or in the task's params"
        bad = [name for name, id_ in ids.items() if not (id_.isascii() and id_.isdigit())]
        return f"must be all digits: {', '.join(bad)}" if bad else ""


# --- Reading -----------------------------------------------------------------------------------------------------


def _open(answer: Answer) -> tuple[dict[str, Any], Said]:
    body = {} if redirected(answer) else fields(read_json(answer.body))
    return body, said(answer, body.get("code"), _repaired(text(body.get("msg")) or text(body.get("message"))))


def _repaired(message: str) -> str:
    """UTF-8 that somebody on the way took for Latin-1; the SDK has met it."""
    with suppress(UnicodeError):
        return message.encode("latin-1").decode()
    return message


def _succeeded(answer: Answer, body: Mapping[str, Any]) -> bool:
    return answer.status == httpx.codes.OK and number(body.get("code")) == OK


def _refusal(answer: Answer, body: Mapping[str, Any], words: Said) -> Outcome:
    """With HTTP 200 the body's code decides. Otherwise HTTP does, unless the code proves who is to blame."""
    code = number(body.get("code"))
    template = None if code is None else CODES.get(code)
    if (answer.status == httpx.codes.OK and code is not None) or isinstance(template, Blocked | Throttled):
        return filled(template or Already(), answer, words)
    return by_status(answer, words, own_format=code is not None and "msg" in body)


def _look(task: TaskRef, result: Mapping[str, Any], words: Said, *, keep: bool) -> Look:
    if text(result.get("task_id")) not in {"", task.external_id}:
        return Unknown(**words)
    review = _reading(result, "status", words, mark=_review_mark(result), keep=keep)
    if task.kind != RULE.name:
        return review
    rules = {text(rule.get("rule_id")): rule for rule in _rules(result)}
    if rule := rules.get(task.sub_id):
        return _reading(rule, "review_result", words, mark=_rule_mark(rule), keep=keep)
    if "" in rules:
        return Unknown(**reworded(words, "a rule of the review cannot be read"))
    if isinstance(review, Unknown) or review.state is State.RUNNING or review.code == RECOGNITION_FAILED:
        return review  # it has not come as far as its rules
    return _gone(DeadReason.NOT_FOUND, f"rule {task.sub_id} is not part of review {task.external_id}")


def _rules(result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All rules of all groups; whatever is unreadable comes as a rule without an id."""
    for group in items(result.get("groups")):
        yield from map(fields, items(fields(group).get("review_tasks")))


def _reading(
    entry: Mapping[str, Any], name: str, words: Said, *, mark: Sequence[object], keep: bool
) -> Reading | Unknown:
    status = number(entry.get(name))
    if status is None or status not in STATES:
        return Unknown(**reworded(words, f"{name} {text(entry.get(name)) or 'missing'} is not known"))
    state, message = STATES[status]
    return Reading(
        state=state,
        mark=short_mark(json.dumps(mark)),
        code=str(status),
        message=message,
        result=entry if keep else None,
    )


def _review_mark(result: Mapping[str, Any]) -> list[object]:
    rules = sorted(map(_rule_mark, _rules(result)), key=json.dumps)
    return [result.get("extract_task_ids"), result.get("statistics"), rules]


def _rule_mark(rule: Mapping[str, Any]) -> list[object]:
    """What a run writes; what people add when they audit it is left out."""
    return [rule.get(name) for name in ("rule_id", "rule_task_id", "review_result", "reasoning")]


def _gone(reason: DeadReason, message: str) -> Reading:
    return Reading(state=State.GONE, reason=reason, message=message)
