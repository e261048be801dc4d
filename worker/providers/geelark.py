"""GeeLark cloud phones: one call retries up to a hundred tasks, and its answer speaks of each.

Facts: "Retry Task", "Query Task", "Request Instructions" and "Cloud Phone Error Codes" of GeeLark's API documents.
"""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from typing import Any, ClassVar, Final
from uuid import uuid4

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
    Unreadable,
)
from redrive.models.providers import GEELARK
from redrive.models.states import DeadReason

from .base import Account, Answer, Call, CheckResults, Exchange, Plan, Provider, Request, Split, TaskRef
from .http_answers import (
    MAX_CODE,
    Words,
    as_check_result,
    by_status,
    fields,
    filled,
    items,
    line,
    number,
    paced,
    read_json,
    redirected,
    reworded,
    said,
    short_mark,
    text,
    unanswered,
    unreadable,
)
from .signing import HeaderAuth, WithoutLogin
from .tasks import each, grouped, of_known_kind

KIND: Final = GEELARK.kinds[0]
OK: Final = 0
PARTLY_FAILED: Final = 40006
ALL_FAILED: Final = 40009

_DEVICES_BUSY: Final = Throttled(wait_seconds=600)

CALL_CODES: Final[Mapping[int, Outcome | Split]] = {
    40000: Unknown(),  # unknown error
    50000: Unknown(),  # internal server error
    # Refused as a whole, perhaps for one bad id: only a call with that id alone lets its task die.
    40001: Split(Refused(reason=DeadReason.REFUSED)),  # request body could not be read
    40002: Split(Refused(reason=DeadReason.REFUSED)),  # traceId empty
    40004: Split(Refused(reason=DeadReason.REFUSED)),  # parameter validation failed
    40005: Split(Refused(reason=DeadReason.NOT_FOUND)),  # resource not found: the call names nothing but tasks
    48000: Split(Refused(reason=DeadReason.LIMIT_REACHED)),  # retry limit exceeded
    48002: Split(Refused(reason=DeadReason.NOT_FOUND)),  # task does not exist
    48003: Split(Refused(reason=DeadReason.RESOURCE_GONE)),  # task material has expired
    48004: Split(Refused(reason=DeadReason.REFUSED)),  # a certain app version is required
    40003: Blocked(cause=Cause.CREDENTIALS),  # signature failed; also a bad or expired token
    40011: Blocked(cause=Cause.CREDENTIALS),  # paid users only
    40013: Blocked(cause=Cause.CREDENTIALS),  # user not found: the only user in the call is its caller
    40015: Blocked(cause=Cause.CREDENTIALS),  # insufficient permissions
    40016: Blocked(cause=Cause.CREDENTIALS),  # address not on the white list
    40012: Blocked(cause=Cause.ADDRESS),  # this API is retired
    41000: Blocked(cause=Cause.BALANCE),  # task points insufficient
    41001: Blocked(cause=Cause.BALANCE),  # balance insufficient
    46001: Blocked(cause=Cause.BALANCE),  # plan has expired
    47003: Split(Refused(reason=DeadReason.RESOURCE_GONE)),  # related device has expired
    47004: Split(Refused(reason=DeadReason.RESOURCE_GONE)),  # related device does not exist
    40007: Throttled(wait_seconds=60),  # "the rate limit will be lifted in the next minute"
    40014: Throttled(wait_seconds=7200),  # hourly limit exceeded, "locked for two hours"
    40017: Throttled(),  # too many requests, try later
    # The documents disagree on 47002 (all devices in use; try later; lifted after two hours). Devices come free when
    # their tasks end, which takes minutes.
    47001: _DEVICES_BUSY,
    47002: _DEVICES_BUSY,
}
"""What the code of a whole answer means; any other code is a refusal that proves nothing."""

TASK_CODES: Final[Mapping[int, Outcome]] = {
    40000: Unknown(),  # unknown error, documented for a single task of the sibling call "cancel"
    40005: Refused(reason=DeadReason.RESOURCE_GONE),  # here: the environment has been deleted
    47003: Refused(reason=DeadReason.RESOURCE_GONE),
    47004: Refused(reason=DeadReason.RESOURCE_GONE),
    48000: Refused(reason=DeadReason.LIMIT_REACHED),
    48001: Already(),  # "status does not allow retry": somebody else may have restarted it
    48002: Refused(reason=DeadReason.NOT_FOUND),
    48003: Refused(reason=DeadReason.RESOURCE_GONE),
    48004: Refused(reason=DeadReason.REFUSED),
}
"""What the code of one task in ``failDetails`` means. 40005 shows why the two tables are apart.

A code that is not listed here means what it means of a whole call, where that is about the account, its speed or
GeeLark's own fault.
"""

STATES: Final[Mapping[int, State]] = {
    1: State.RUNNING,  # waiting
    2: State.RUNNING,
    3: State.SUCCEEDED,
    4: State.FAILED,
    7: State.CANCELED,
}

PHONE_DELETED: Final = 29998
MAX_QUERIES: Final = 32
"""Calls one check may become while it looks for a bad id: two bad ones of a hundred are found with fewer."""


@dataclass(frozen=True, slots=True)
class _Search:
    """A status call refused as a whole: what is asked now and later, and what is known."""

    asked: tuple[str, ...]
    waiting: tuple[tuple[str, ...], ...] = ()
    known: Mapping[str, CheckResult] = field(default_factory=dict)
    calls: int = 1


class GeeLark(WithoutLogin, Provider):
    """One GeeLark team, by token or by key."""

    capabilities: ClassVar[Capabilities] = GEELARK

    def __init__(self, account: Account) -> None:
        self._options = account.options

    def auth(self, token: str | None) -> httpx.Auth:  # noqa: ARG002 - GeeLark has no login
        """Sign by key where there is one, else by token; with a new trace id for every request."""
        return HeaderAuth(self._headers)

    def _headers(self, _: httpx.Request) -> Mapping[str, str]:
        # Upper case without dashes, as the vendor's own client sends it; what is sent is what is signed.
        trace_id = uuid4().hex.upper()
        if key := self._options.get("api_key"):
            return geelark_headers(self._options["app_id"], key, trace_id=trace_id, at=datetime.now(UTC))
        return {"traceId": trace_id, "Authorization": f"Bearer {self._options['token']}"}

    # --- Retries -------------------------------------------------------------------------------------------------

    def retries(self, tasks: Sequence[TaskRef]) -> Plan:
        """Restart up to a hundred at once."""
        return _plan(KIND.retry_path, tasks, GEELARK.retry_ids)

    def outcomes(self, call: Call, exchange: Exchange) -> Mapping[int, Outcome] | Split:
        """Task by task where the answer speaks of tasks, else the same for all."""
        answer = exchange.answer
        if answer is None or not exchange.sent:
            return each(call.tasks, unanswered(exchange))
        code, data, words = _open(answer)
        if (code == OK and answer.status == httpx.codes.OK) or code in {PARTLY_FAILED, ALL_FAILED}:
            found = _by_task(_ids(call.tasks), code, data, words, answer)
            return paced(answer, {task.id: found[task.external_id] for task in call.tasks})
        verdict = _verdict(answer, code, words)
        return verdict if isinstance(verdict, Split) else paced(answer, each(call.tasks, verdict))

    # --- Checks --------------------------------------------------------------------------------------------------

    def checks(self, tasks: Sequence[TaskRef]) -> Plan:
        """Query up to a hundred at once."""
        return _plan(KIND.check_path, tasks, GEELARK.check_ids)

    def results(self, call: Call, exchange: Exchange) -> CheckResults:
        """A check per task; a call refused as a whole is halved first, so that one bad id does not hide the others."""
        search: _Search = call.carry or _Search(_ids(call.tasks))
        asked, waiting = search.asked, search.waiting
        found: Mapping[str, CheckResult]
        match _result(asked, exchange):
            case Split() if len(asked) > 1 and search.calls < MAX_QUERIES:
                middle = len(asked) // 2
                found, waiting = {}, (asked[:middle], asked[middle:], *waiting)
            case Split(outcome):
                found = dict.fromkeys(asked, as_check_result(outcome, own_format=True))
            case dict() as found:
                pass
            case result:  # says nothing of single tasks, nor would it of those still waiting
                found, waiting = dict.fromkeys((*asked, *(id_ for part in waiting for id_ in part)), result), ()
        known = {**search.known, **found}
        if waiting:
            return CheckResults(more=_ask(call, _Search(waiting[0], waiting[1:], known, search.calls + 1)))
        results = {task.id: known[task.external_id] for task in call.tasks}
        return CheckResults(paced(exchange.answer, results) if exchange.answer else results)


# --- Asking ------------------------------------------------------------------------------------------------------


def _plan(path: str, tasks: Sequence[TaskRef], size: int) -> Plan:
    good, strange = of_known_kind(GEELARK, tasks)
    same = grouped(good, lambda task: task.external_id)
    parts = [tuple(chain(*same[start : start + size])) for start in range(0, len(same), size)]
    calls = (Call(Request("POST", path, json={"ids": list(_ids(part))}), part, path) for part in parts)
    return Plan(tuple(calls), strange)


def _ask(call: Call, search: _Search) -> Call:
    return replace(call, request=replace(call.request, json={"ids": list(search.asked)}), carry=search)


def _ids(tasks: Sequence[TaskRef]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(task.external_id for task in tasks))


# --- Reading -----------------------------------------------------------------------------------------------------


def _open(answer: Answer) -> tuple[int | None, dict[str, Any], Words]:
    """Code, data and words of GeeLark's envelope; the code is None where there is none.

    Its front ends, Cloudflare and Kong, may fail with a "code" as well, but their words are in a "message".
    """
    body = None if redirected(answer) else read_json(answer.body)
    shown = fields(body)
    words = said(answer, shown.get("code"), text(shown.get("msg")) or shown.get("message"), body=body)
    enveloped = answer.status == httpx.codes.OK or "msg" in shown
    return number(shown.get("code")) if enveloped else None, fields(shown.get("data")), words


def _verdict(answer: Answer, code: int | None, words: Words) -> Outcome | Split:
    """What an answer means that speaks of no single task."""
    match None if code is None else CALL_CODES.get(code):
        case Split(outcome):
            return Split(filled(outcome, answer, words))
        case None if code in {None, OK} or answer.status != httpx.codes.OK:
            return by_status(answer, words, own_format=code is not None)
        case None:
            return Already(**words)
        case template:
            return filled(template, answer, words)


def _by_task(
    asked: Sequence[str], code: int | None, data: Mapping[str, Any], words: Words, answer: Answer
) -> dict[str, Outcome]:
    """Those in ``failDetails`` failed; the others were accepted, if the answer leaves no other reading."""
    details = items(data.get("failDetails") or [])
    if len(details) > GEELARK.retry_ids:
        too_many = Unknown(**reworded(words, f"details of {len(details)} tasks, more than a call takes"), answered=True)
        return dict.fromkeys(asked, too_many)
    listed = {text(entry.get("id")): entry for entry in map(fields, details)}
    failed = {id_: _task_outcome(listed[id_], answer) for id_ in asked if id_ in listed}
    doubtful = code == ALL_FAILED or (code == PARTLY_FAILED and not failed) or "" in listed
    others: Outcome = Accepted(**words)
    if doubtful or not _adds_up(data, asked, failed):
        why = f"the answer does not account for it: {words['message']}"
        others = Unknown(**reworded(words, why), answered=True)
    return {id_: failed.get(id_, others) for id_ in asked}


def _task_outcome(detail: Mapping[str, Any], answer: Answer) -> Outcome:
    code = number(detail.get("code"))
    template = None if code is None else TASK_CODES.get(code) or CALL_CODES.get(code)
    own = Words(http_status=answer.status, code=line(detail.get("code"), MAX_CODE), message=line(detail.get("msg")))
    # What halves a whole call says of one task only what the table for tasks has.
    return Already(**own) if template is None or isinstance(template, Split) else filled(template, answer, own)


def _adds_up(data: Mapping[str, Any], asked: Sized, failed: Sized) -> bool:
    """Whether the amounts the answer gives are those of the tasks it names."""
    amounts = {"totalAmount": len(asked), "failAmount": len(failed), "successAmount": len(asked) - len(failed)}
    return all(data.get(name) is None or number(data[name]) == amount for name, amount in amounts.items())


def _result(asked: Sequence[str], exchange: Exchange) -> dict[str, CheckResult] | CheckResult | Split:
    answer = exchange.answer
    if answer is None or not exchange.sent:
        return unanswered(exchange)
    code, data, words = _open(answer)
    if code == OK and httpx.codes.is_success(answer.status):
        return _readings(asked, data.get("items"), data.get("total"), words)
    verdict = _verdict(answer, code, words)
    return verdict if isinstance(verdict, Split) else as_check_result(verdict, own_format=code is not None)


def _readings(asked: Sequence[str], shown: object, total: object, words: Words) -> dict[str, CheckResult] | Unreadable:
    """An id that is absent is missing only from a list that is whole."""
    if not isinstance(shown, list):
        return unreadable(words, "an answer without a list of tasks")
    if len(shown) > GEELARK.check_ids:
        return unreadable(words, f"a list of {len(shown)} tasks, more than a call takes")
    by_id = {text(item.get("id")): item for item in map(fields, shown)}
    whole = "" not in by_id and (total is None or number(total) == len(by_id))
    absent: CheckResult = (
        Reading(state=State.MISSING) if whole else unreadable(words, "not in the list, which is not whole")
    )
    return {id_: _reading(by_id[id_], words) if id_ in by_id else absent for id_ in asked}


def _reading(item: Mapping[str, Any], words: Words) -> CheckResult:
    status, code, message = item.get("status"), item.get("failCode"), line(item.get("failDesc"))
    state = STATES.get(number(status) or 0)
    if state is None:
        return unreadable(words, f"task status {line(status, MAX_CODE) or 'missing'} is not known")
    gone = state is State.FAILED and number(code) == PHONE_DELETED
    return Reading(
        state=State.GONE if gone else state,
        reason=DeadReason.RESOURCE_GONE if gone else None,
        mark=short_mark(item.get("scheduleAt"), item.get("cost")),
        code=line(code, MAX_CODE),
        message=message,
    )


def geelark_headers(app_id: str, api_key: str, *, trace_id: str, at: datetime) -> dict[str, str]:
    """GeeLark's key verification; the body is not signed (Request Instructions)."""
    ts, nonce = str(round(at.timestamp() * 1000)), trace_id[:6]
    sign = sha256(f"{app_id}{trace_id}{ts}{nonce}{api_key}".encode()).hexdigest().upper()
    return {"appId": app_id, "traceId": trace_id, "ts": ts, "nonce": nonce, "sign": sign}


PROVIDER: Final = GeeLark
