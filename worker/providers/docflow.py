"""TextIn DocFlow reviews: one call retries one review, or one rule of it, and overwrites its result.

Facts: "Retry Review Task", "Get Review Results" and "Access Credentials" of the DocFlow documents, its Python SDK, and
the code tables of TextIn's other APIs: DocFlow itself publishes no code but 200.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from operator import itemgetter
from typing import Any, ClassVar, Final

import httpx

from redrive.models.capabilities import Capabilities
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
)
from redrive.models.providers import DOCFLOW
from redrive.models.states import DeadReason

from .base import Account, Answer, Call, CheckResults, Exchange, Plan, Provider, Request, TaskRef
from .docflow_results import Result
from .http_answers import (
    STATUSES,
    WRONG_ADDRESS,
    Words,
    as_check_result,
    by_status,
    fields,
    filled,
    gone,
    number,
    paced,
    read_json,
    redirected,
    said,
    text,
    unanswered,
)
from .signing import HeaderAuth, WithoutLogin, keyed, raw_path
from .tasks import each, grouped, of_known_kind, sorted_out

API: Final = "/api/app-api/sip/platform/v2"
OK: Final = 200
REVIEW, RULE = DOCFLOW.kinds

CODES: Final[Mapping[int, Outcome]] = {
    400: Already(),  # bad parameter; also how it says that there is no such review
    1005006016: Already(),  # already being processed
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
    # Not documented. By its number an internal error, after which the retry may have been applied.
    50000: Unknown(),
    900: Unknown(),  # the SDK's "custom business error", which it repeats
}
"""What a body's code means; one that repeats one of HTTP's means the same, any other is a refusal without proof."""

_NO_SUCH_REVIEW: Final = re.compile(
    r"\b(?:review|task)\b.{0,60}(?:\bnot found|(?:\bnot|n't|\blonger) exists?|\bdeleted)\b"
    r"|(?:\u5ba1\u6838|\u4efb\u52a1).{0,60}\u4e0d\u5b58\u5728",  # "review" or "task", and "does not exist"
    re.IGNORECASE,
)
"""By the SDK "not found" is HTTP 200 with code 400, the code of every bad parameter: its words tell them apart."""


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
        good, strange = of_known_kind(DOCFLOW, tasks)
        good, hopeless = sorted_out(good, self._why_not)
        same = grouped(good, lambda task: tuple(self._ids(task).items()))
        refused = {id_: Refused(reason=DeadReason.REFUSED, message=why) for id_, why in hopeless.items()}
        return Plan(tuple(self._retry(group) for group in same), {**strange, **refused})

    def _retry(self, tasks: tuple[TaskRef, ...]) -> Call:
        ids = self._ids(tasks[0])
        return self._call(RULE.retry_path if "rule_id" in ids else REVIEW.retry_path, ids, tasks)

    def outcomes(self, call: Call, exchange: Exchange) -> Mapping[int, Outcome]:
        """Accepted only where both HTTP and the body say 200."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return each(call.tasks, unanswered(exchange))
        body, words = _open(answer)
        outcome = Accepted(**words) if _succeeded(answer, body) else _refusal(answer, body, words)
        return paced(answer, each(call.tasks, outcome))

    # --- Checks --------------------------------------------------------------------------------------------------

    def checks(self, tasks: Sequence[TaskRef]) -> Plan:
        """One call per review: its result shows the review and all its rules."""
        good, strange = of_known_kind(DOCFLOW, tasks)
        good, hopeless = sorted_out(good, self._why_not)
        same = grouped(good, lambda task: (self._workspace_id(task), task.external_id))
        refused = {id_: gone(DeadReason.REFUSED, why) for id_, why in hopeless.items()}
        return Plan(tuple(self._check(group) for group in same), {**strange, **refused})

    def _check(self, tasks: tuple[TaskRef, ...]) -> Call:
        ids = {"workspace_id": self._workspace_id(tasks[0]), "task_id": tasks[0].external_id}
        return self._call(REVIEW.check_path, ids, tasks)

    def results(self, call: Call, exchange: Exchange) -> CheckResults:
        """Judge a review by its status, and a rule by its own result whatever the review's is."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return CheckResults(each(call.tasks, unanswered(exchange)))
        body, words = _open(answer)
        if not (httpx.codes.is_success(answer.status) and number(body.get("code")) == OK):
            return CheckResults(paced(answer, each(call.tasks, _refused_check(answer, body, words))))
        result = Result(fields(body.get("result")), words, keep=bool(self._options.get("archive_results")))
        return CheckResults(paced(answer, {task.id: result.result(task) for task in call.tasks}))

    # --- Asking --------------------------------------------------------------------------------------------------

    def _call(self, path: str, ids: Mapping[str, str], tasks: tuple[TaskRef, ...]) -> Call:
        return Call(Request("POST", API + path, json=ids), tasks, path)

    def _workspace_id(self, task: TaskRef) -> str:
        return text(task.params.get("workspace_id")).strip() or text(self._options.get("workspace_id"))

    def _ids(self, task: TaskRef) -> dict[str, str]:
        ids = {"workspace_id": self._workspace_id(task), "task_id": task.external_id}
        return ids | ({"rule_id": task.sub_id} if task.kind == RULE.name else {})

    def _why_not(self, task: TaskRef) -> str:
        ids = self._ids(task)
        if not ids["workspace_id"]:
            return "no workspace_id: set it for the account, or in the task's params"
        bad = [name for name, id_ in ids.items() if not (id_.isascii() and id_.isdigit())]
        return f"must be all digits: {', '.join(bad)}" if bad else ""


# --- Reading -----------------------------------------------------------------------------------------------------


def _open(answer: Answer) -> tuple[dict[str, Any], Words]:
    body = {} if redirected(answer) else read_json(answer.body)
    shown = fields(body)
    words = _repaired(text(shown.get("msg")) or text(shown.get("message")))
    return shown, said(answer, shown.get("code"), words, body=body)


def _repaired(message: str) -> str:
    """UTF-8 that somebody on the way took for Latin-1; the SDK has met it."""
    with suppress(UnicodeError):
        return message.encode("latin-1").decode()
    return message


def _succeeded(answer: Answer, body: Mapping[str, Any]) -> bool:
    return answer.status == httpx.codes.OK and number(body.get("code")) == OK


def _own_format(answer: Answer, body: Mapping[str, Any]) -> bool:
    """Whether DocFlow itself speaks. A front end's error may have a code as well, but not that code and words."""
    return number(body.get("code")) is not None and (answer.status == httpx.codes.OK or "msg" in body)


def _refusal(answer: Answer, body: Mapping[str, Any], words: Words) -> Outcome:
    """With HTTP 200 the body's code decides. Otherwise HTTP does, unless the code proves who is to blame."""
    code, own = number(body.get("code")), _own_format(answer, body)
    template = None if code is None else _of_code(code)
    if (answer.status == httpx.codes.OK and own) or isinstance(template, Blocked | Throttled):
        return filled(template or Already(), answer, words)
    return by_status(answer, words, own_format=own, of_task=own)


def _of_code(code: int) -> Outcome | None:
    return CODES.get(code) or STATUSES.get(code) or (Unknown() if httpx.codes.is_server_error(code) else None)


def _refused_check(answer: Answer, body: Mapping[str, Any], words: Words) -> CheckResult:
    """A refusal of the check: it says at most that the review is not there any more."""
    outcome, own = _refusal(answer, body, words), _own_format(answer, body)
    if own and isinstance(outcome, Already) and not outcome.forbidden and _says_gone(body, outcome.message):
        return Reading(state=State.MISSING, code=outcome.code, message=outcome.message)
    return as_check_result(outcome, own_format=own)


def _says_gone(body: Mapping[str, Any], message: str) -> bool:
    return number(body.get("code")) == httpx.codes.NOT_FOUND or bool(_NO_SUCH_REVIEW.search(message))


def docflow_headers(request: httpx.Request, app_id: str, secret_code: str, *, at: datetime) -> dict[str, str]:
    """DocFlow's signature authentication (Access Credentials); values of parameters are signed unencoded."""
    epoch = str(int(at.timestamp()))
    query = "&".join(f"{name}={value}" for name, value in sorted(request.url.params.multi_items(), key=itemgetter(0)))
    body = sha256(request.content).hexdigest()
    key = keyed(secret_code.encode(), epoch)
    signature = keyed(key, f"{request.method}\n{raw_path(request)}\n{query}\n{body}").hex()
    return {"x-ti-app-id": app_id, "x-ti-timestamp": epoch, "x-ti-signature": signature}


PROVIDER: Final = DocFlow
