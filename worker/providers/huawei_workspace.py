"""Huawei Cloud Workspace scripts: one call retries one execution task or record, which may run on under a new id.

Facts: "Retrying a (Failed) Script Execution Task", "Querying Script Execution Records" and "Querying Script Execution
Record Details" of the Workspace API Reference. Its example sends ``record_id`` as a list; its table and the SDKs send
a plain string, and so do we.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, ClassVar, Final, Self
from urllib.parse import quote

import httpx

from models.capabilities import HUAWEI_WORKSPACE, Capabilities
from models.outcome import Accepted, Look, Outcome, Reading, State, Unknown

from .base import Account, Call, Exchange, Looked, Plan, Provider, Request, TaskRef, Token
from .http_answers import Said, as_look, fields, line, number, read_json, reworded, said, short_mark, text, unanswered
from .huawei_errors import failure
from .huawei_iam import login_call, read_token
from .signing import HeaderAuth, huawei_headers
from .tasks import each, grouped

STATES: Final[Mapping[str, State]] = {
    "INIT": State.RUNNING,
    "WAITING": State.RUNNING,
    "RUNNING": State.RUNNING,
    "SUCCESS": State.SUCCEEDED,
    "FINISH": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "FAIL": State.FAILED,
}
"""A record's words are not documented; these are the service's words for its script tasks and jobs."""

PAGE: Final = 100  # "from 1 to 100"
MAX_PAGES: Final = 100
MAX_ID: Final = 255


@dataclass(frozen=True, slots=True)
class _Record:
    """What is kept of an execution record while its list is read."""

    id: str
    status: str
    mark: str
    code: str
    reason: str

    @property
    def state(self) -> State | None:
        return STATES.get(self.status.upper())


@dataclass(frozen=True, slots=True)
class _Pages:
    """A list of records as far as it has been read; ``read`` counts repeated ones too."""

    records: Mapping[str, _Record]
    read: int = 0
    pages: int = 0

    def plus(self, page: Sequence[_Record]) -> Self:
        records = {**self.records, **{record.id: record for record in page}}
        return replace(self, records=records, read=self.read + len(page), pages=self.pages + 1)


class HuaweiWorkspace(Provider):
    """One project in one region, by access key, ready token or IAM user."""

    capabilities: ClassVar[Capabilities] = HUAWEI_WORKSPACE

    def __init__(self, account: Account) -> None:
        self._options = account.options
        self._root = f"/v2/{quote(account.options['project_id'], safe='')}"

    # --- Credentials ---------------------------------------------------------------------------------------------

    def auth(self, token: str | None) -> httpx.Auth:
        """Sign with the access key where there is one, else send the ready token or the one the login yielded."""
        if self._options.get("access_key"):
            return HeaderAuth(self._signature)
        ready = self._options.get("auth_token") or token
        return HeaderAuth(lambda _: {"X-Auth-Token": ready} if ready else {})

    def _signature(self, request: httpx.Request) -> Mapping[str, str]:
        options = self._options
        return huawei_headers(
            request,
            options["access_key"],
            options["secret_key"],
            project_id=options["project_id"],
            security_token=options.get("security_token"),
            at=datetime.now(UTC),
        )

    def login(self) -> Call | None:
        """Fetch a token, for an IAM user."""
        return login_call(self._options) if self._options.get("iam_user") else None

    def token(self, exchange: Exchange) -> Token | Outcome:
        """Read the token."""
        return read_token(exchange)

    # --- Retries -------------------------------------------------------------------------------------------------

    def retries(self, tasks: Sequence[TaskRef]) -> Plan:
        """One call per task or record, naming exactly one of the two."""
        same = grouped(tasks, lambda task: (task.kind, task.external_id))
        return Plan(tuple(self._retry(group) for group in same))

    def _retry(self, tasks: tuple[TaskRef, ...]) -> Call:
        body = {f"{tasks[0].kind}_id": tasks[0].external_id}
        path = HUAWEI_WORKSPACE.kinds[0].retry_path
        return Call(Request("POST", self._root + path, json=body), tasks, path)

    def outcomes(self, call: Call, exchange: Exchange) -> Mapping[int, Outcome]:
        """Accepted where the answer names the task to follow."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return each(call.tasks, unanswered(exchange))
        ref = text(fields(read_json(answer.body)).get("task_id")).strip() if answer.status == httpx.codes.OK else ""
        if 0 < len(ref) <= MAX_ID and ref.isprintable():
            return each(call.tasks, Accepted(http_status=answer.status, ref=ref))
        return each(call.tasks, failure(answer))

    # --- Checks --------------------------------------------------------------------------------------------------

    def checks(self, tasks: Sequence[TaskRef]) -> Plan:
        """Read the one record, or all records of the newest execution task."""
        same = grouped(tasks, lambda task: (task.kind, task.external_id, task.ref))
        # As the last step of a path these two name something else, whose answer would speak for the whole account.
        steps = [group for group in same if _by_id(group[0]) and group[0].external_id in {".", ".."}]
        missing = {task.id: Reading(state=State.MISSING) for group in steps for task in group}
        return Plan(tuple(self._check(group) for group in same if group not in steps), missing)

    def _check(self, tasks: tuple[TaskRef, ...]) -> Call:
        task, path = tasks[0], HUAWEI_WORKSPACE.kinds[0].check_path
        if _by_id(task):
            return Call(Request("GET", f"{self._root}{path}/{quote(task.external_id, safe='')}"), tasks, path)
        query = (("script_task_id", task.ref or task.external_id), ("limit", str(PAGE)), ("offset", "0"))
        return Call(Request("GET", self._root + path, query=query), tasks, path, carry=_Pages({}))

    def looks(self, call: Call, exchange: Exchange) -> Looked:
        """A record's own state, or that of all records of an execution task, page after page."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return Looked(each(call.tasks, unanswered(exchange)))
        if answer.status != httpx.codes.OK:
            return Looked(each(call.tasks, as_look(failure(answer))))
        body, words = fields(read_json(answer.body)), said(answer)
        if call.carry is not None:
            return _next_page(call, call.carry, body, words)
        record = _record(body)
        own = record.id == call.tasks[0].external_id
        return Looked(each(call.tasks, _reading([record], words) if own else Unknown(**words)))


def _by_id(task: TaskRef) -> bool:
    """Whether the record can be read itself; a retried one runs on in an execution task of its own."""
    return task.kind == "record" and not task.ref


# --- Reading -----------------------------------------------------------------------------------------------------


def _next_page(call: Call, before: _Pages, body: Mapping[str, Any], words: Said) -> Looked:
    page, total = body.get("script_records"), number(body.get("count"))
    if not isinstance(page, list):
        return Looked(each(call.tasks, Unknown(**words)))
    pages = before.plus([_record(fields(record)) for record in page])
    if not pages.read and total:
        return Looked(each(call.tasks, Unknown(**reworded(words, f"a count of {total} without a record"))))
    look = _reading(_wanted(call.tasks[0], pages.records), words)
    running = isinstance(look, Reading) and look.state is State.RUNNING
    whole = not page or (len(page) < PAGE if total is None else pages.read >= total)
    if whole or running:  # one that runs settles it
        return Looked(each(call.tasks, look))
    if pages.pages == MAX_PAGES:
        return Looked(each(call.tasks, Unknown(**reworded(words, f"more than {pages.read} records"))))
    query = (*call.request.query[:-1], ("offset", str(pages.read)))
    return Looked(more=replace(call, request=replace(call.request, query=query), carry=pages))


def _wanted(task: TaskRef, records: Mapping[str, _Record]) -> list[_Record]:
    """The task's own record where it is listed, else all of the execution task it runs on in."""
    own = records.get(task.external_id) if task.kind == "record" else None
    return [own] if own else sorted(records.values(), key=attrgetter("id"))


def _record(record: Mapping[str, Any]) -> _Record:
    id_ = text(record.get("id"))
    return _Record(
        id=id_,
        status=text(record.get("status")).strip() if id_ else "",  # one without an id could hide another
        mark=f"{text(record.get('start_time'))}/{text(record.get('end_time'))}",
        code=line(record.get("result_code")),
        reason=line(record.get("reason")),
    )


def _reading(records: Sequence[_Record], words: Said) -> Look:
    """Running while one runs, failed when one failed, succeeded when all did; a word we do not know ends nothing."""
    for state in (State.RUNNING, None, State.FAILED, State.SUCCEEDED):
        record = next((record for record in records if record.state is state), None)
        if record is None:
            continue
        if state is None:
            return Unknown(**reworded(words, f"record status {record.status!r} is not known"))
        mark = short_mark(*(record.mark for record in records))
        return Reading(state=state, mark=mark, code=record.code, message=record.reason)
    return Reading(state=State.MISSING)
