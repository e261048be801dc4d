from dataclasses import replace
from typing import Any

import pytest

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
from redrive.models.states import DeadReason
from redrive.worker.providers.base import CheckResults, Exchange, Split, TaskRef
from redrive.worker.providers.geelark import CALL_CODES, STATES, TASK_CODES
from tests.unit.providers.exchanges import answered, checked, geelark, keyed, only, outcome, task, tasks

ONE = task("5912")


def envelope(code: object, data: object = None, status: int = 200, **headers: str) -> Exchange:
    return answered({"traceId": "T", "code": code, "msg": "words", "data": data}, status, **headers)


def said(code: object = 0, status: int = 200, message: str = "words") -> dict[str, Any]:
    return {"http_status": status, "code": str(code), "message": message}


# --- asking ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("plan", "path"), [("retries", "/open/v1/task/restart"), ("checks", "/open/v1/task/query")])
def test_up_to_a_hundred_ids_go_in_one_call(plan: str, path: str) -> None:
    """In order, and the rest in the next call."""
    asked = tasks(*map(str, range(230)))
    calls = getattr(geelark(), plan)(asked).calls
    assert [call.request.json for call in calls] == [
        {"ids": [str(number) for number in part]} for part in (range(100), range(100, 200), range(200, 230))
    ]
    assert {(call.request.method, call.request.path, call.limit_path) for call in calls} == {("POST", path, path)}
    assert [one for call in calls for one in call.tasks] == asked


def test_an_id_is_asked_for_once() -> None:
    """Two tasks of one id share its place in the call, and its outcome."""
    twins = [task("5912", id=1), task("5913", id=2), task("5912", id=3)]
    call = only(geelark().retries(twins))
    assert call.request.json == {"ids": ["5912", "5913"]}
    data = {"totalAmount": 2, "successAmount": 1, "failAmount": 1, "failDetails": [{"id": "5912", "code": 48002}]}
    found = geelark().outcomes(call, envelope(40006, data))
    assert isinstance(found, dict)
    assert [type(found[number]) for number in (1, 2, 3)] == [Refused, Accepted, Refused]


def test_nothing_asked_nothing_called() -> None:
    """No call for no task."""
    assert geelark().retries([]).calls == ()


# --- whole answers -----------------------------------------------------------------------------------------------

FAULT = Unknown(answered=True)
CALLS: dict[int, Outcome | Split] = {
    40000: FAULT,
    50000: FAULT,
    40001: Split(Refused(reason=DeadReason.REFUSED)),
    40002: Split(Refused(reason=DeadReason.REFUSED)),
    40003: Blocked(cause=Cause.CREDENTIALS),
    40004: Split(Refused(reason=DeadReason.REFUSED)),
    40005: Split(Refused(reason=DeadReason.NOT_FOUND)),
    40007: Throttled(wait_seconds=60),
    40011: Blocked(cause=Cause.CREDENTIALS),
    40012: Blocked(cause=Cause.ADDRESS),
    40013: Blocked(cause=Cause.CREDENTIALS),
    40014: Throttled(wait_seconds=7200),
    40015: Blocked(cause=Cause.CREDENTIALS),
    40016: Blocked(cause=Cause.CREDENTIALS),
    40017: Throttled(),
    41000: Blocked(cause=Cause.BALANCE),
    41001: Blocked(cause=Cause.BALANCE),
    47001: Throttled(wait_seconds=600),
    46001: Blocked(cause=Cause.BALANCE),
    47002: Throttled(wait_seconds=600),
    47003: Split(Refused(reason=DeadReason.RESOURCE_GONE)),
    47004: Split(Refused(reason=DeadReason.RESOURCE_GONE)),
    48000: Split(Refused(reason=DeadReason.LIMIT_REACHED)),
    48002: Split(Refused(reason=DeadReason.NOT_FOUND)),
    48003: Split(Refused(reason=DeadReason.RESOURCE_GONE)),
    48004: Split(Refused(reason=DeadReason.REFUSED)),
}
OTHERS = {code: Already() for code in (48001, 40008, 40010, 43002, 46002, 50001, 99999, -1)}


def test_every_call_code_is_tested() -> None:
    """A new row needs a new expectation."""
    assert CALLS.keys() == CALL_CODES.keys()


@pytest.mark.parametrize("spelling", [int, str])
@pytest.mark.parametrize("status", [200, 400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize(("code", "expected"), CALLS.items())
def test_a_known_code_decides_whatever_http_says(
    code: int, expected: Outcome | Split, status: int, spelling: type
) -> None:
    """Codes come as numbers or as digits, and which HTTP status they come with is not documented."""
    found = geelark().outcomes(only(geelark().retries([ONE])), envelope(spelling(code), status=status))
    if isinstance(expected, Split):
        assert found == Split(replace(expected.outcome, **said(code, status)))
    else:
        assert found == {ONE.id: replace(expected, **said(code, status))}


@pytest.mark.parametrize(("code", "expected"), OTHERS.items())
def test_an_unlisted_code_proves_nothing(code: int, expected: Outcome) -> None:
    """It may be running already: all tasks of the call are checked."""
    several = only(geelark().retries(tasks("1", "2")))
    assert geelark().outcomes(several, envelope(code)) == dict.fromkeys(
        [one.id for one in several.tasks], replace(expected, **said(code))
    )


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (201, Unknown),
        (302, Blocked),
        (400, Already),
        (401, Blocked),
        (404, Blocked),
        (429, Throttled),
        (500, Unknown),
        (900, Unknown),
    ],
)
@pytest.mark.parametrize("code", [0, 99999, None, True, "x", 0.0])
def test_without_a_known_code_http_decides(status: int, expected: type[Outcome], code: object) -> None:
    """Success is HTTP 200 and code 0 together."""
    assert type(outcome(geelark(), ONE, envelope(code, {}, status))) is expected


@pytest.mark.parametrize("code", [0, 40006, 40007])
def test_a_redirects_body_is_not_read(code: int) -> None:
    """Whoever redirects is not the API."""
    found = outcome(geelark(), ONE, envelope(code, {"totalAmount": 1}, status=302, location="https://elsewhere"))
    message = "check base_url: https://elsewhere"
    assert found == Blocked(cause=Cause.ADDRESS, http_status=302, message=message)


@pytest.mark.parametrize("code", [None, True, 0.0, "zero", "", [], {}])
def test_a_success_without_a_readable_code_is_unknown(code: object) -> None:
    """Nothing says what became of it."""
    assert isinstance(outcome(geelark(), ONE, envelope(code)), Unknown)


@pytest.mark.parametrize(("code", "usual"), [(40007, 60), (40014, 7200), (40017, None), (47001, 600)])
def test_retry_after_wins_over_the_usual_wait(code: int, usual: float | None) -> None:
    """The provider knows better when it says so."""
    waits = [outcome(geelark(), ONE, exchange) for exchange in (envelope(code), envelope(code, retry_after="7"))]
    assert [wait.wait_seconds for wait in waits if isinstance(wait, Throttled)] == [usual, 7]


# --- task by task ------------------------------------------------------------------------------------------------

DETAILS: dict[object, Outcome] = {
    40000: FAULT,
    40005: Refused(reason=DeadReason.RESOURCE_GONE),
    47003: Refused(reason=DeadReason.RESOURCE_GONE),
    47004: Refused(reason=DeadReason.RESOURCE_GONE),
    48000: Refused(reason=DeadReason.LIMIT_REACHED),
    48001: Already(),
    48002: Refused(reason=DeadReason.NOT_FOUND),
    48003: Refused(reason=DeadReason.RESOURCE_GONE),
    48004: Refused(reason=DeadReason.REFUSED),
}


def test_every_task_code_is_tested() -> None:
    """A new row needs a new expectation."""
    assert DETAILS.keys() == TASK_CODES.keys()


@pytest.mark.parametrize("spelling", [int, str])
@pytest.mark.parametrize("outer", [0, 40006, 40009])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        *DETAILS.items(),
        *((code, meaning) for code, meaning in CALLS.items() if code not in DETAILS and not isinstance(meaning, Split)),
        *((code, Already()) for code in (40001, 40004, 7, 20002, 50001)),
    ],
)
def test_a_tasks_own_code(code: int, expected: Outcome, outer: int, spelling: type) -> None:
    """Each means something for this task alone; what is about the account or its speed means the same everywhere."""
    detail = {"id": "5912", "code": spelling(code), "msg": "own"}
    data = {"totalAmount": 1, "successAmount": 0, "failAmount": 1, "failDetails": [detail]}
    assert outcome(geelark(), ONE, envelope(outer, data)) == replace(expected, **said(code, message="own"))


@pytest.mark.parametrize("code", [None, True, "many", []])
def test_a_task_without_a_readable_code_is_refused_without_proof(code: object) -> None:
    """It failed, and nobody says why."""
    data = {"totalAmount": 1, "successAmount": 0, "failAmount": 1, "failDetails": [{"id": "5912", "code": code}]}
    assert type(outcome(geelark(), ONE, envelope(40006, data))) is Already


def test_a_tasks_own_code_may_come_with_a_wait() -> None:
    """The answer's header wins, as it does for whole calls."""
    detail = {"id": "5912", "code": 40007, "msg": "own"}
    exchange = envelope(40009, {"failDetails": [detail]}, retry_after="7")
    assert outcome(geelark(), ONE, exchange) == Throttled(wait_seconds=7, **said(40007, message="own"))


@pytest.mark.parametrize("details", [[{"id": "5912", "code": 48002}] * 101, [0] * 5000, [[]] * 101])
def test_details_of_more_tasks_than_a_call_takes_are_not_read(details: list[object]) -> None:
    """It may have been done all the same."""
    found = outcome(geelark(), ONE, envelope(40006, {"failDetails": details}))
    message = f"details of {len(details)} tasks, more than a call takes"
    assert found == Unknown(answered=True, **said(40006, message=message))


def results(outer: int, data: object) -> str:
    """What becomes of tasks a, b and c, by initials: a for accepted, u for unknown, r for refused."""
    call = only(geelark().retries(tasks("a", "b", "c")))
    found = geelark().outcomes(call, envelope(outer, data))
    assert isinstance(found, dict)
    return "".join(outcome.name[0] for outcome in keyed(call, found).values())


def amounts(total: object, success: object, fail: object, *failed: object) -> dict[str, object]:
    details = [{"id": one, "code": 48002} if isinstance(one, str | int) else one for one in failed]
    return {"totalAmount": total, "successAmount": success, "failAmount": fail, "failDetails": details}


@pytest.mark.parametrize(
    ("outer", "data", "expected"),
    [
        # Whole and consistent.
        (0, amounts(3, 3, 0), "aaa"),
        (0, {"totalAmount": 3, "successAmount": 3, "failAmount": 0}, "aaa"),
        (0, {"totalAmount": "3", "successAmount": "3", "failAmount": "0", "failDetails": None}, "aaa"),
        (0, amounts(None, None, None), "aaa"),
        (0, None, "aaa"),
        (0, amounts(3, 2, 1, "b"), "ara"),
        (40006, amounts(3, 2, 1, "b"), "ara"),
        (40006, amounts(3, 1, 2, "c", "a"), "rar"),
        (40006, amounts(None, None, None, "b"), "ara"),
        (40009, amounts(3, 0, 3, "a", "b", "c"), "rrr"),
        # An object in place of a list.
        (40006, {**amounts(3, 2, 1), "failDetails": {"id": "b", "code": 48002}}, "ara"),
        # Fewer listed than failed, or other amounts that disagree: never an invented acceptance.
        (40006, amounts(3, 1, 2, "b"), "uru"),
        (40006, amounts(3, 1, None, "b"), "uru"),
        (40006, amounts(3, None, 2, "b"), "uru"),
        (40006, amounts(4, 3, 1, "b"), "uru"),
        (40006, amounts(4, None, None, "b"), "uru"),
        (40006, amounts(3, 2, "some", "b"), "uru"),
        (40006, amounts(3, 2, 1), "uuu"),
        (40006, amounts(3, 3, 0), "uuu"),
        (0, amounts(3, 2, 1), "uuu"),
        (0, amounts(2, 2, 0), "uuu"),
        (0, amounts(3, 3, -1), "uuu"),
        (40009, amounts(3, 0, 3, "a", "b"), "rru"),
        (40009, amounts(None, None, None, "a"), "ruu"),
        # Nobody says who failed.
        (40006, None, "uuu"),
        (40006, [], "uuu"),
        (40006, amounts(None, None, None), "uuu"),
        (40009, None, "uuu"),
        (40009, amounts(3, 0, 3), "uuu"),
        # Unreadable entries explain nothing.
        (0, amounts(None, None, None, {"code": 48002}), "uuu"),
        (0, {"failDetails": "all of them"}, "uuu"),
        (40006, amounts(None, None, None, "b", [48002]), "uru"),
        # Ids that were not asked for are ignored, and their places are not filled by others.
        (40006, amounts(3, 2, 1, "x"), "uuu"),
        (40006, amounts(3, 2, 1, "b", "x"), "ara"),
        (40006, amounts(3, 1, 2, "b", "x"), "uru"),
        (40006, amounts(3, 1, 2, "b", "b"), "uru"),
    ],
)
def test_the_unlisted_are_accepted_only_when_the_amounts_agree(outer: int, data: object, expected: str) -> None:
    """What an answer does not account for may have been done."""
    assert results(outer, data) == expected


def test_what_is_not_accounted_for_is_told() -> None:
    """With the provider's words."""
    message = "the answer does not account for it: words"
    assert outcome(geelark(), ONE, envelope(40009)) == Unknown(answered=True, **said(40009, message=message))


def test_ids_may_come_as_numbers() -> None:
    """They are the same ids."""
    call = only(geelark().retries(tasks("17", "18")))
    found = geelark().outcomes(call, envelope(40006, amounts(2, 1, 1, 17)))
    assert isinstance(found, dict)
    assert [type(one) for one in keyed(call, found).values()] == [Refused, Accepted]


def test_task_codes_are_read_whatever_http_says() -> None:
    """The code of a partial failure proves that the API itself answered; that of a success needs HTTP 200."""
    data = amounts(1, 0, 1, "5912")
    assert type(outcome(geelark(), ONE, envelope(40009, data, status=400))) is Refused
    assert type(outcome(geelark(), ONE, envelope(0, amounts(1, 1, 0), status=500))) is Unknown


# --- looks -------------------------------------------------------------------------------------------------------


def item(**more: object) -> dict[str, object]:
    return {"id": "5912", "scheduleAt": 1718744459, "cost": 35, **more}


def shown(*items: object, total: object = None) -> Exchange:
    return envelope(0, {"total": total, "items": list(items)})


STATUSES = {1: State.RUNNING, 2: State.RUNNING, 3: State.SUCCEEDED, 4: State.FAILED, 7: State.CANCELED}


def test_every_state_is_tested() -> None:
    """A new row needs a new expectation."""
    assert STATUSES.keys() == STATES.keys()


@pytest.mark.parametrize("spelling", [int, str])
@pytest.mark.parametrize(("status", "state"), STATUSES.items())
def test_states(status: int, state: State, spelling: type) -> None:
    """Each with the mark of its run."""
    found = checked(geelark(), ONE, shown(item(status=spelling(status))))
    assert found == Reading(state=state, mark="1718744459/35")


@pytest.mark.parametrize("status", [0, 5, 6, 8, None, True, "done", []])
def test_an_unknown_status_is_no_state(status: object) -> None:
    """Never taken for an end, nor for an outage."""
    assert isinstance(checked(geelark(), ONE, shown(item(status=status))), Unreadable)


@pytest.mark.parametrize(("status", "shown_as"), [(5, "5"), ("done", "done"), (None, "missing")])
def test_an_unknown_status_is_told(status: object, shown_as: str) -> None:
    """In words for whoever wonders why nothing moves."""
    message = f"task status {shown_as} is not known"
    assert checked(geelark(), ONE, shown(item(status=status))) == Unreadable(**said(message=message))


@pytest.mark.parametrize(
    ("code", "state", "reason"),
    [
        (20003, State.FAILED, None),
        (29997, State.FAILED, None),
        ("29997", State.FAILED, None),
        (29998, State.GONE, DeadReason.RESOURCE_GONE),
        ("29998", State.GONE, DeadReason.RESOURCE_GONE),
        (29999, State.FAILED, None),
    ],
)
def test_why_it_failed(code: object, state: State, reason: DeadReason | None) -> None:
    """Only a deleted phone is beyond any retry; an empty balance is not."""
    found = checked(geelark(), ONE, shown(item(status=4, failCode=code, failDesc="some reason")))
    assert found == Reading(state=state, reason=reason, mark="1718744459/35", code=str(code), message="some reason")


def test_only_a_failure_is_for_good() -> None:
    """A code left over from an earlier run does not end one that runs."""
    found = checked(geelark(), ONE, shown(item(status=2, failCode=29998)))
    assert isinstance(found, Reading)
    assert found.state is State.RUNNING


@pytest.mark.parametrize("change", [{"scheduleAt": 1718749999}, {"cost": 36}, {"cost": None}])
def test_another_run_has_another_mark(change: dict[str, object]) -> None:
    """Scheduled again, or having taken another time."""
    marks = [checked(geelark(), ONE, shown({**item(status=4), **more})) for more in ({}, {}, change)]
    first, same, other = (found.mark for found in marks if isinstance(found, Reading))
    assert first == same != other


@pytest.mark.parametrize(
    ("items", "total", "expected"),
    [
        ([item(status=3)], 1, "missing"),
        ([item(status=3)], "1", "missing"),
        ([item(status=3)], None, "missing"),
        ([], 0, "missing"),
        ([item(status=3)], 2, "unreadable"),
        ([item(status=3), {"status": 3}], 2, "unreadable"),
        ([item(status=3), "garbage"], None, "unreadable"),
        ([item(status=3), item(status=3)], 2, "unreadable"),
        ([item(status=3)], "all", "unreadable"),
    ],
)
def test_an_absent_id_is_missing_from_whole_lists_only(items: list[object], total: object, expected: str) -> None:
    """Where something is unreadable or left out, it may be just that."""
    found = checked(geelark(), task("5999"), shown(*items, total=total))
    unreadable = Unreadable(**said(message="not in the list, which is not whole"))
    assert found == (Reading(state=State.MISSING) if expected == "missing" else unreadable)


@pytest.mark.parametrize("data", [None, {}, {"items": None}, {"items": {}}, []])
def test_a_list_nobody_can_read_is_unreadable(data: object) -> None:
    """It says of no task that it is missing; nor that GeeLark is away."""
    assert checked(geelark(), ONE, envelope(0, data)) == Unreadable(**said(message="an answer without a list of tasks"))


@pytest.mark.parametrize("length", [101, 5000])
def test_a_list_longer_than_was_asked_for_is_not_read(length: int) -> None:
    """Its length alone says that it is not an answer to our call."""
    found = checked(geelark(), ONE, shown(*[item(status=3)] * length))
    assert found == Unreadable(**said(message=f"a list of {length} tasks, more than a call takes"))


def test_a_total_may_count_more_than_was_asked_for() -> None:
    """Those that are shown are read."""
    call = only(geelark().checks([ONE, task("5913")]))
    results = keyed(call, geelark().results(call, shown(item(status=3), total=10)).results)
    assert results["5912"] == Reading(state=State.SUCCEEDED, mark="1718744459/35")
    assert isinstance(results["5913"], Unreadable)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [(0, 500, FAULT), (0, 900, FAULT), (40006, 200, Unreadable()), (99999, 200, Unreadable()), (None, 200, Unknown())],
)
def test_only_a_success_shows_states(code: object, status: int, expected: CheckResult) -> None:
    """A list in any other answer is not read."""
    found = checked(geelark(), ONE, envelope(code, {"total": 1, "items": [item(status=3)]}, status))
    assert found == replace(expected, http_status=status, code="" if code is None else str(code), message="words")


@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_any_success_shows_states(status: int) -> None:
    """To read is harmless; a retry is accepted with HTTP 200 only."""
    envelope_ = envelope(0, {"total": 1, "items": [item(status=3)]}, status)
    assert isinstance(checked(geelark(), ONE, envelope_), Reading)


@pytest.mark.parametrize("body", [{"message": "upstream"}, {"code": 502, "message": "upstream"}, b"error code: 524"])
@pytest.mark.parametrize("status", [500, 502, 503, 524])
def test_a_front_end_is_not_geelark(status: int, body: object) -> None:
    """Cloudflare and Kong answer for it when it does not: nobody knows what became of the call."""
    for found in (outcome(geelark(), ONE, answered(body, status)), checked(geelark(), ONE, answered(body, status))):
        assert isinstance(found, Unknown)
        assert not found.answered
        assert found.message in {"upstream", "error code: 524"}


@pytest.mark.parametrize("code", sorted({*CALLS, *OTHERS, 40006, 40009}))
def test_codes_of_checks(code: int) -> None:
    """Those about account and speed mean the same; a refusal means nothing for the task, but not found is missing."""
    expected = {**CALLS, **OTHERS}.get(code, Already())
    template = expected.outcome if isinstance(expected, Split) else expected
    found: CheckResult
    match template:
        case Refused(reason=DeadReason.NOT_FOUND):
            found = Reading(state=State.MISSING, code=str(code), message="words")
        case Refused() | Already():
            found = Unreadable(**said(code))
        case Blocked() | Throttled() | Unknown():
            found = replace(template, **said(code))
        case _:
            raise AssertionError(template)
    assert checked(geelark(), ONE, envelope(code)) == found


def ask_all(asked: list[TaskRef], bad: set[str], refusal: Exchange) -> tuple[CheckResults, list[list[str]]]:
    """Play a provider that refuses every query with a bad id in it; also the ids of each call."""
    provider, calls = geelark(), []
    looked = CheckResults(more=only(provider.checks(asked)))
    while looked.more:
        ids = looked.more.request.json["ids"]
        calls.append(ids)
        good = shown(*({"id": one, "status": 3} for one in ids), total=len(ids))
        looked = provider.results(looked.more, refusal if bad & set(ids) else good)
    return looked, calls


@pytest.mark.parametrize("bad", [{"0"}, {"99"}, {"50"}, {"3", "77"}])
def test_a_bad_id_does_not_hide_the_others(bad: set[str]) -> None:
    """A query refused as a whole is halved until the bad ids are alone; every task has a check, each id one answer."""
    asked = tasks(*map(str, range(100)))
    looked, calls = ask_all(asked, bad, envelope(40004))
    found = {one.external_id: looked.results[one.id] for one in asked}
    assert {id_ for id_, one in found.items() if isinstance(one, Unreadable)} == bad
    assert all(one == Reading(state=State.SUCCEEDED) for id_, one in found.items() if id_ not in bad)
    assert len(calls) <= 32


def test_halving_ends_when_all_are_bad() -> None:
    """A provider that refuses everything is not asked a hundred times over."""
    asked = tasks(*map(str, range(100)))
    looked, calls = ask_all(asked, set(map(str, range(100))), envelope(40004))
    assert looked.results.keys() == {one.id for one in asked}
    assert {type(one) for one in looked.results.values()} == {Unreadable}
    assert len(calls) < 50
    assert sorted(id_ for ids in calls[32:] for id_ in ids) == sorted({id_ for ids in calls[32:] for id_ in ids})


def test_halving_stops_when_the_account_does() -> None:
    """What says nothing of single tasks holds for all that were still to be asked."""
    provider = geelark()
    looked = provider.results(only(provider.checks(tasks("1", "2", "3", "4"))), envelope(40004))
    assert looked.more
    found = provider.results(looked.more, envelope(40014)).results
    assert list(found.values()) == [Throttled(wait_seconds=7200, **said(40014))] * 4


def test_halving_keeps_what_was_read() -> None:
    """When the second half gets no answer, the first has its checks all the same."""
    provider = geelark()
    call = only(provider.checks(tasks("1", "2")))
    first = provider.results(call, envelope(40001)).more
    assert first
    second = provider.results(first, shown({"id": "1", "status": 3})).more
    assert second
    assert second.request.json == {"ids": ["2"]}
    found = keyed(call, provider.results(second, Exchange(sent=True, error="timed out")).results)
    assert found == {"1": Reading(state=State.SUCCEEDED), "2": Unknown(message="timed out")}
