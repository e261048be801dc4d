"""Huawei Cloud Workspace scripts: one call retries one execution task or record, which may run on under a new id.

Facts: "Retrying a (Failed) Script Execution Task", "Querying Script Execution Records" and "Querying Script Execution
Record Details" of the Workspace API Reference; the SDKs for the words that the pages leave out. The page's example
sends ``record_id`` as a list; its table and the SDKs send a plain string, and so do we.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from operator import attrgetter
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, quote, unquote

import httpx

from redrive.models.capabilities import Capabilities
from redrive.models.outcome import Accepted, CheckResult, Outcome, Reading, Refused, State, Unknown, Unreadable
from redrive.models.providers import HUAWEI_WORKSPACE
from redrive.models.states import DeadReason

from .base import Account, Answer, Call, CheckResults, Exchange, Plan, Provider, Request, TaskRef, Token
from .http_answers import (
    MAX_CODE,
    MAX_ID,
    MAX_MARK,
    Words,
    fields,
    gone,
    line,
    number,
    paced,
    read_json,
    said,
    short_mark,
    text,
    unanswered,
    unreadable,
)
from .huawei_errors import failed_check, failure, read_error
from .huawei_iam import login_call, read_token
from .signing import HeaderAuth, keyed, raw_path
from .tasks import each, grouped, of_known_kind, sorted_out

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

SKIPPED: Final = "SKIP"
"""A record whose desktop was left out, as the SDKs count them; it has ended and did not fail."""

READ_PERMISSIONS: Final = "workspace:scripts:listRecords and workspace:scripts:getRecordDetail"
"""What the pages of the two status calls ask for. A user that may retry need not have them."""

RECORDS_A_PAGE: Final = 100  # "from 1 to 100"
MAX_PAGES: Final = 100
_IN_A_PATH: Final = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]+")
"""What a path holds as it is. Gateways disagree on escaped slashes, and two dots lead elsewhere: their answer would
speak for the whole account."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What is kept of an execution record while its list is read; everything is short."""

    id: str
    status: str
    mark: str
    code: str
    reason: str

    @property
    def state(self) -> State | None:
        return STATES.get(self.status)


_Pages = tuple[tuple[_Record, ...], ...]
"""A list of records as far as it has been read."""


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
        good, strange = of_known_kind(HUAWEI_WORKSPACE, tasks)
        good, hopeless = sorted_out(good, _why_not)
        refused = {id_: Refused(reason=DeadReason.REFUSED, message=why) for id_, why in hopeless.items()}
        same = grouped(good, lambda task: (task.kind, task.external_id))
        return Plan(tuple(self._retry(group) for group in same), {**strange, **refused})

    def _retry(self, tasks: tuple[TaskRef, ...]) -> Call:
        body = {f"{tasks[0].kind}_id": tasks[0].external_id}
        path = HUAWEI_WORKSPACE.kinds[0].retry_path
        return Call(Request("POST", self._root + path, json=body), tasks, path)

    def outcomes(self, call: Call, exchange: Exchange) -> Mapping[int, Outcome]:
        """Accepted where the answer names the task to follow and speaks of no error."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return each(call.tasks, unanswered(exchange))
        outcome = _taken(answer) if httpx.codes.is_success(answer.status) else failure(answer)
        return paced(answer, each(call.tasks, outcome))

    # --- Checks --------------------------------------------------------------------------------------------------

    def checks(self, tasks: Sequence[TaskRef]) -> Plan:
        """Read the one record, or all records of the newest execution task."""
        good, strange = of_known_kind(HUAWEI_WORKSPACE, tasks)
        good, hopeless = sorted_out(good, lambda task: _why_not(task) if _by_id(task) else "")
        refused = {id_: gone(DeadReason.REFUSED, why) for id_, why in hopeless.items()}
        same = grouped(good, lambda task: (task.kind, task.external_id, task.ref))
        return Plan(tuple(self._check(group) for group in same), {**strange, **refused})

    def _check(self, tasks: tuple[TaskRef, ...]) -> Call:
        task, path = tasks[0], HUAWEI_WORKSPACE.kinds[0].check_path
        if _by_id(task):
            return Call(Request("GET", f"{self._root}{path}/{task.external_id}"), tasks, path)
        query = (("script_task_id", task.ref or task.external_id), ("limit", str(RECORDS_A_PAGE)), ("offset", "0"))
        return Call(Request("GET", self._root + path, query=query), tasks, path, carry=())

    def results(self, call: Call, exchange: Exchange) -> CheckResults:
        """A record's own state, or that of all records of an execution task, page after page."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return CheckResults(each(call.tasks, unanswered(exchange)))
        result = _result(call, answer)
        return (
            CheckResults(more=result)
            if isinstance(result, Call)
            else CheckResults(paced(answer, each(call.tasks, result)))
        )


def _by_id(task: TaskRef) -> bool:
    """Whether the record can be read itself; a retried one runs on in an execution task of its own."""
    return task.kind == "record" and not task.ref


def _why_not(task: TaskRef) -> str:
    if task.kind != "record" or _IN_A_PATH.fullmatch(task.external_id):
        return ""
    return "not the id of a record: those have letters, digits and - . _ ~ only; correct external_id"


# --- Reading -----------------------------------------------------------------------------------------------------


def _taken(answer: Answer) -> Outcome:
    """The task to follow. One beside an error is kept, for the checks to follow."""
    body, (error, words) = read_json(answer.body), read_error(answer)
    ref = text(fields(body).get("task_id")).strip()
    ref = ref if len(ref) <= MAX_ID and ref.isprintable() else ""
    refused = error.is_own and bool(error.code)
    if ref and not refused:
        return Accepted(http_status=answer.status, ref=ref)
    return Unknown(**words, ref=ref, answered=refused or "task_id" in fields(body))


def _result(call: Call, answer: Answer) -> CheckResult | Call:
    """The check, or the page to ask for first."""
    body = fields(read_json(answer.body)) if httpx.codes.is_success(answer.status) else {}
    words = said(answer, body=body)
    if "script_records" in body and call.carry is not None:
        return _next_page(call, body["script_records"], number(body.get("count")), words)
    if "status" in body and call.carry is None:
        return _own_record(call.tasks[0], _record(body), words)
    return _not_a_success(answer)


def _not_a_success(answer: Answer) -> CheckResult:
    """A success that shows nothing is readable at most as the error it may speak of."""
    error, words = read_error(answer)
    if httpx.codes.is_success(answer.status):
        return unreadable(words) if error.is_own else Unknown(**words)
    result = failed_check(answer, error, words)
    if isinstance(result, Unreadable) and result.forbidden and error.is_own:
        return replace(result, message=line(f"no permission to read ({READ_PERMISSIONS}): {result.message}"))
    return result


def _own_record(task: TaskRef, record: _Record, words: Words) -> CheckResult:
    if record.id != task.external_id:
        return unreadable(words, "the answer is about another record")
    return _reading([record], words)


def _next_page(call: Call, listed: object, total: int | None, words: Words) -> CheckResult | Call:
    """Judge by the whole list; one that runs, or the task's own record, settles it earlier."""
    if not isinstance(listed, list):
        return unreadable(words)
    if len(listed) > RECORDS_A_PAGE:
        return unreadable(words, f"a page of {len(listed)} records, where {RECORDS_A_PAGE} were asked for")
    page = tuple(_record(fields(record)) for record in listed)
    pages: _Pages = (*call.carry, page)
    read, task = sum(map(len, pages)), call.tasks[0]
    own = [record for record in page if task.kind == "record" and record.id == task.external_id]
    if own or any(record.state is State.RUNNING for record in page):
        return _reading(own[-1:] or _newest(pages), words)
    if not read and total:
        return unreadable(words, f"a count of {total} without a record")
    if not page or (len(page) < RECORDS_A_PAGE if total is None else read >= total):
        return _reading(_newest(pages), words)
    if len(pages) == MAX_PAGES or (total or 0) > MAX_PAGES * RECORDS_A_PAGE:
        return unreadable(words, f"more records than can be read: {total or read}")
    query = (*call.request.query[:-1], ("offset", str(read)))
    return replace(call, request=replace(call.request, query=query), carry=pages)


def _newest(pages: _Pages) -> list[_Record]:
    """Each record once, as it was last read: they may move between pages."""
    by_id = {record.id: record for record in chain.from_iterable(pages)}
    return sorted(by_id.values(), key=attrgetter("id"))


def _record(record: Mapping[str, Any]) -> _Record:
    id_ = text(record.get("id"))
    id_ = id_ if len(id_) <= MAX_ID else ""
    mark = f"{text(record.get('start_time'))}/{text(record.get('end_time'))}"
    return _Record(
        id=id_,
        status=line(record.get("status"), MAX_CODE).upper() if id_ else "",  # one without an id could hide another
        mark=mark if len(mark) <= MAX_MARK else short_mark(mark),
        code=line(record.get("result_code"), MAX_CODE),
        reason=line(record.get("reason")),
    )


def _reading(records: Sequence[_Record], words: Words) -> CheckResult:
    """Running while one runs, failed when one failed, succeeded when all that were not skipped did.

    A word we do not know ends nothing. Where every desktop was skipped nothing ran, which is a failure.
    """
    ran = [record for record in records if record.status != SKIPPED]
    mark = short_mark(*(record.mark for record in records))
    skipped = len(records) - len(ran)
    for state in (State.RUNNING, None, State.FAILED, State.SUCCEEDED):
        record = next((record for record in ran if record.state is state), None)
        if record is None:
            continue
        if state is None:
            return unreadable(words, f"record status {record.status!r} is not known")
        note = f"{skipped} of {len(records)} desktops skipped" if skipped else ""
        return Reading(state=state, mark=mark, code=record.code, message=record.reason or note)
    if skipped:
        return Reading(state=State.FAILED, mark=mark, code=SKIPPED, message="skipped: the script ran on no desktop")
    return Reading(state=State.MISSING)


def huawei_headers(
    request: httpx.Request,
    access_key: str,
    secret_key: str,
    *,
    project_id: str,
    security_token: str | None,
    at: datetime,
) -> dict[str, str]:
    """Huawei Cloud's SDK-HMAC-SHA256 (API Request Signing Guide). Signs nothing a proxy on the way may change.

    By the guide's questions and answers, five wrong signatures in a row lock the key for five minutes.
    """
    added = {"X-Project-Id": project_id, "X-Sdk-Date": at.strftime("%Y%m%dT%H%M%SZ")}
    if security_token:
        added["X-Security-Token"] = security_token
    signed = {name.lower(): value for name, value in added.items()}
    signed |= {name: request.headers[name] for name in ("content-type", "host") if name in request.headers}
    names = ";".join(sorted(signed))
    scheme = "SDK-HMAC-SHA256"
    canonical = sha256(_canonical(request, signed, names).encode()).hexdigest()
    signature = keyed(secret_key.encode(), f"{scheme}\n{added['X-Sdk-Date']}\n{canonical}").hex()
    return added | {"Authorization": f"{scheme} Access={access_key}, SignedHeaders={names}, Signature={signature}"}


def _canonical(request: httpx.Request, signed: Mapping[str, str], names: str) -> str:
    path = quote(unquote(raw_path(request)), safe="/~")
    path = path if path.endswith("/") else f"{path}/"
    pairs = sorted(parse_qsl(request.url.query.decode(), keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    headers = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    return "\n".join(
        (
            request.method,
            path if path.endswith("/") else f"{path}/",
            query,
            headers,
            names,
            sha256(request.content).hexdigest(),
        )
    )


PROVIDER: Final = HuaweiWorkspace
