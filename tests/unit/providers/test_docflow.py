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
from redrive.worker.providers.base import Exchange, TaskRef
from redrive.worker.providers.docflow import CODES
from redrive.worker.providers.docflow_results import MAX_RULES, STATES
from tests.unit.providers.exchanges import answered, checked, docflow, only, outcome, task

PREFIX = "/api/app-api/sip/platform/v2/review/task"
REVIEW = task("31415926", "review_task")
RULE = task("31415926", "review_rule", sub_id="271828", id=2)


def envelope(code: object, status: int = 200, **more: object) -> Exchange:
    return answered({"code": code, "msg": "words", **more}, status)


def said(code: object, status: int = 200, message: str = "words") -> dict[str, Any]:
    return {"http_status": status, "code": str(code), "message": message}


# --- asking ------------------------------------------------------------------------------------------------------


def test_a_review_is_retried_whole() -> None:
    """Workspace and task, nothing else."""
    call = only(docflow().retries([REVIEW]))
    assert (call.request.method, call.request.path) == ("POST", f"{PREFIX}/retry")
    assert call.request.json == {"workspace_id": "1234567890", "task_id": "31415926"}
    assert call.limit_path == "/review/task/retry"


def test_a_rule_is_retried_alone() -> None:
    """On its own path, with the review it belongs to."""
    call = only(docflow().retries([RULE]))
    assert (call.request.method, call.request.path) == ("POST", f"{PREFIX}/rule/retry")
    assert call.request.json == {"workspace_id": "1234567890", "task_id": "31415926", "rule_id": "271828"}
    assert call.limit_path == "/review/task/rule/retry"


def test_the_same_is_retried_once() -> None:
    """Two tasks that mean the same share a call, whatever else stands in their rows."""
    odd = replace(REVIEW, id=3, sub_id="7", params={"workspace_id": "1234567890"})
    plan = docflow().retries([REVIEW, RULE, odd, replace(RULE, id=4)])
    assert [[one.id for one in call.tasks] for call in plan.calls] == [[REVIEW.id, 3], [RULE.id, 4]]


def test_one_result_serves_a_review_and_its_rules() -> None:
    """Other reviews, and the same one in another workspace, are asked for by themselves."""
    elsewhere = task("31415926", "review_task", id=3, params={"workspace_id": "77"})
    other = task("31415927", "review_task", id=4)
    plan = docflow().checks([REVIEW, elsewhere, RULE, other])
    assert [[one.id for one in call.tasks] for call in plan.calls] == [[REVIEW.id, RULE.id], [3], [4]]
    assert [call.request.json for call in plan.calls] == [
        {"workspace_id": "1234567890", "task_id": "31415926"},
        {"workspace_id": "77", "task_id": "31415926"},
        {"workspace_id": "1234567890", "task_id": "31415927"},
    ]
    assert {(call.request.path, call.limit_path) for call in plan.calls} == {
        (f"{PREFIX}/result", "/review/task/result")
    }


@pytest.mark.parametrize("params", [{"workspace_id": "77"}, {"workspace_id": 77}, {"workspace_id": " 77 "}])
def test_a_tasks_own_workspace_wins(params: dict[str, object]) -> None:
    """However it was written."""
    call = only(docflow().retries([replace(REVIEW, params=params)]))
    assert call.request.json["workspace_id"] == "77"


HOPELESS: list[tuple[TaskRef, str]] = [
    (task("abc", "review_task"), "must be all digits: task_id"),
    (task("1e5", "review_rule", sub_id="5"), "must be all digits: task_id"),
    (task("٣", "review_task"), "must be all digits: task_id"),
    (task("15", "review_rule", sub_id="x"), "must be all digits: rule_id"),
    (task("15", "review_rule"), "must be all digits: rule_id"),
    (task("a", "review_rule", sub_id="b"), "must be all digits: task_id, rule_id"),
    (task("15", "review_task", params={"workspace_id": "x"}), "must be all digits: workspace_id"),
]


@pytest.mark.parametrize(("one", "why"), HOPELESS)
def test_what_cannot_be_asked_for_is_not(one: TaskRef, why: str) -> None:
    """It is refused here, beside others that can; and a check says so too."""
    plan = docflow().retries([one, REVIEW])
    assert plan.refused == {one.id: Refused(reason=DeadReason.REFUSED, message=why)}
    assert [call.tasks for call in plan.calls] == [(REVIEW,)]
    plan = docflow().checks([one, REVIEW])
    assert plan.refused == {one.id: Reading(state=State.GONE, reason=DeadReason.REFUSED, message=why)}
    assert [call.tasks for call in plan.calls] == [(REVIEW,)]


@pytest.mark.parametrize("options", [{"workspace_id": None}, {"workspace_id": ""}])
def test_without_a_workspace_the_remedy_is_named(options: dict[str, Any]) -> None:
    """For the account or for the task; a task that brings its own is fine."""
    provider, own = docflow(**options), replace(REVIEW, id=9, params={"workspace_id": "77"})
    plan = provider.retries([REVIEW, own])
    why = "no workspace_id: set it for the account, or in the task's params"
    assert plan.refused == {REVIEW.id: Refused(reason=DeadReason.REFUSED, message=why)}
    assert [call.tasks for call in plan.calls] == [(own,)]


# --- retries -----------------------------------------------------------------------------------------------------

FAULT = Unknown(answered=True)
ROWS: dict[int, Outcome] = {
    400: Already(),
    900: FAULT,
    30203: FAULT,
    40003: Blocked(cause=Cause.BALANCE),
    40101: Blocked(cause=Cause.CREDENTIALS),
    40102: Blocked(cause=Cause.CREDENTIALS),
    40103: Blocked(cause=Cause.CREDENTIALS),
    40306: Throttled(wait_seconds=600),
    40400: Blocked(cause=Cause.ADDRESS),
    50000: FAULT,
    50011: FAULT,
    50012: FAULT,
    50207: FAULT,
    1005006016: Already(),
}
HTTPS: dict[int, Outcome] = {
    401: Blocked(cause=Cause.CREDENTIALS),
    403: Already(forbidden=True),
    429: Throttled(),
    **dict.fromkeys((408, 423, 500, 501, 502, 503, 504, 599), FAULT),
}
"""Codes that repeat one of HTTP's."""
UNLISTED = {code: Already() for code in (0, -1, 404, 499, 600, 40004, 40429, 50301, 1005006000)}


def test_every_code_is_tested() -> None:
    """A new row needs a new expectation."""
    assert ROWS.keys() == CODES.keys()


@pytest.mark.parametrize("one", [REVIEW, RULE], ids=["review", "rule"])
@pytest.mark.parametrize("code", [200, "200"])
def test_200_twice_is_accepted(one: TaskRef, code: object) -> None:
    """Once by HTTP and once in the body."""
    assert outcome(docflow(), one, envelope(code)) == Accepted(**said(200))


@pytest.mark.parametrize("spelling", [int, str])
@pytest.mark.parametrize(("code", "expected"), [*ROWS.items(), *HTTPS.items(), *UNLISTED.items()])
def test_codes(code: int, expected: Outcome, spelling: type) -> None:
    """With HTTP 200 the body decides; what it does not explain proves nothing."""
    message = "check base_url: words" if code == 40400 else "words"
    assert outcome(docflow(), REVIEW, envelope(spelling(code))) == replace(expected, **said(code, message=message))


@pytest.mark.parametrize("code", [None, True, 200.0, "ok", "", [200]])
def test_a_success_without_a_readable_code_is_unknown(code: object) -> None:
    """HTTP 200 alone proves nothing."""
    assert isinstance(outcome(docflow(), REVIEW, envelope(code)), Unknown)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (201, 200, Unknown),
        (204, 200, Unknown),
        (302, 200, Blocked),
        (302, 40306, Blocked),
        (400, 200, Already),
        (400, 500, Already),
        (401, 400, Blocked),
        (403, 400, Already),
        (403, 40102, Blocked),
        (405, 1005006016, Blocked),
        (409, 200, Already),
        (423, 400, Unknown),
        (429, 500, Throttled),
        (500, 400, Unknown),
        (500, 1005006016, Unknown),
        (500, 40306, Throttled),
        (500, 40102, Blocked),
        (503, 200, Unknown),
        (900, 200, Unknown),
        (900, 400, Unknown),
    ],
)
def test_otherwise_http_decides_unless_the_code_tells_whom_to_blame(
    status: int, code: int, expected: type[Outcome]
) -> None:
    """A code that is about the account or its speed proves more than any status."""
    assert type(outcome(docflow(), REVIEW, envelope(code, status))) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"code": 404, "msg": "deleted"}, Refused(reason=DeadReason.NOT_FOUND, **said(404, 404, "deleted"))),
        ({"code": 1005006000, "msg": "x"}, Refused(reason=DeadReason.NOT_FOUND, **said(1005006000, 404, "x"))),
        ({"code": 40400, "message": "x"}, Blocked(cause=Cause.ADDRESS, **said(40400, 404, "check base_url: x"))),
        ({"code": 404, "message": "x"}, Blocked(cause=Cause.ADDRESS, **said(404, 404, "check base_url: x"))),
        ({"status": 404, "msg": "x"}, Blocked(cause=Cause.ADDRESS, **said("", 404, "check base_url: x"))),
        (b"<html>", Blocked(cause=Cause.ADDRESS, **said("", 404, "check base_url: <html>"))),
    ],
)
def test_404_in_docflows_own_words_is_about_the_task(body: object, expected: Outcome) -> None:
    """Anything else says that the address is wrong."""
    assert outcome(docflow(), REVIEW, answered(body, 404)) == expected


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"msg": "one", "message": "two"}, "one"),
        ({"msg": "", "message": "two"}, "two"),
        ({"message": "two"}, "two"),
        ({"msg": "参数错误"}, "参数错误"),
        ({"msg": "参数错误".encode().decode("latin-1")}, "参数错误"),
        ({"msg": "déjà vu"}, "déjà vu"),
        ({"msg": None}, '{"code": 400, "msg": null}'),
    ],
)
def test_words_are_found_and_repaired(texts: dict[str, object], expected: str) -> None:
    """DocFlow's text or the platform's; UTF-8 that was read as Latin-1 is put right, Latin-1 is left alone."""
    found = outcome(docflow(), REVIEW, answered({"code": 400, **texts}, status=400))
    assert found == Already(**said(400, 400, expected))


# --- looks -------------------------------------------------------------------------------------------------------


def rule(rule_id: object = "271828", review_result: object = 1, **more: object) -> dict[str, object]:
    return {"rule_task_id": "1", "rule_id": rule_id, "review_result": review_result, "reasoning": "why", **more}


def result(status: object = 1, *rules: object, **more: object) -> dict[str, object]:
    groups = [{"group_id": "1", "review_tasks": list(rules)}]
    return {"task_id": "31415926", "status": status, "extract_task_ids": ["8"], "groups": groups, **more}


def shown(value: object) -> Exchange:
    return envelope(200, result=value)


STATUSES = {
    0: (State.RUNNING, "pending"),
    1: (State.SUCCEEDED, "approved"),
    2: (State.FAILED, "review failed"),
    3: (State.RUNNING, "reviewing"),
    4: (State.SUCCEEDED, "rejected"),
    5: (State.RUNNING, "recognizing"),
    6: (State.RUNNING, "in queue"),
    7: (State.FAILED, "recognition failed upstream"),
}


def test_every_state_is_tested() -> None:
    """A new row needs a new expectation."""
    assert STATUSES.keys() == STATES.keys()


def plain(found: CheckResult) -> CheckResult:
    """Without the mark, which has tests of its own."""
    return replace(found, mark="") if isinstance(found, Reading) else found


@pytest.mark.parametrize("spelling", [int, str])
@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_states(status: int, expected: tuple[State, str], spelling: type) -> None:
    """Rejected is a verdict: the review ran. A rule is judged by its own result, whatever the review's is."""
    reading = Reading(state=expected[0], code=str(status), message=expected[1])
    assert plain(checked(docflow(), REVIEW, shown(result(spelling(status), rule(review_result=2))))) == reading
    for whole in (0, 1, 2, 7, 9):
        of_rule = result(whole, rule("1"), rule(review_result=spelling(status)))
        assert plain(checked(docflow(), RULE, shown(of_rule))) == reading


@pytest.mark.parametrize("status", [8, -1, None, True, "done", {}])
def test_an_unknown_status_is_no_state(status: object) -> None:
    """Neither of the review nor of a rule; nor is it an outage."""
    assert isinstance(checked(docflow(), REVIEW, shown(result(status))), Unreadable)
    assert isinstance(checked(docflow(), RULE, shown(result(1, rule(review_result=status)))), Unreadable)


@pytest.mark.parametrize(("status", "shown_as"), [(8, "8"), ("done", "done"), (None, "missing")])
def test_an_unknown_status_is_told(status: object, shown_as: str) -> None:
    """In words for whoever wonders why nothing moves."""
    found = checked(docflow(), REVIEW, shown(result(status)))
    assert found == Unreadable(**said(200, message=f"status {shown_as} is not known"))
    found = checked(docflow(), RULE, shown(result(1, rule(review_result=status))))
    assert found == Unreadable(**said(200, message=f"review_result {shown_as} is not known"))


def test_one_answer_checks_at_review_and_rules() -> None:
    """Each has its own."""
    other = replace(RULE, id=3, sub_id="999")
    call = only(docflow().checks([REVIEW, RULE, other]))
    results = docflow().results(call, shown(result(2, rule(review_result=4), rule("999", review_result=2)))).results
    readings = [results[one.id] for one in (REVIEW, RULE, other)]
    assert [(one.state, one.code) for one in readings if isinstance(one, Reading)] == [
        (State.FAILED, "2"),
        (State.SUCCEEDED, "4"),
        (State.FAILED, "2"),
    ]


NOT_PART = Reading(state=State.GONE, reason=DeadReason.NOT_FOUND, message="rule 271828 is not part of review 31415926")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (result(1, rule("1")), NOT_PART),
        (result(2, rule("1")), NOT_PART),
        (result(4), NOT_PART),
        (result(4, groups=[]), NOT_PART),
        # What cannot be read may be the rule.
        (result(1, rule("1"), {"review_result": 1}), Unreadable),
        (result(1, rule("1"), "garbage"), Unreadable),
        (result(2, {"review_result": 1}), Unreadable),
        (result(1, groups=None), Unreadable),
        (result(4, groups=[{"group_id": "1"}]), Unreadable),
        (result(1, groups="all"), Unreadable),
        (result(9, rule("1")), Unreadable),
        (result(1, rule(review_result=None)), Unreadable),
    ],
)
def test_a_rule_of_another_review_is_gone(value: dict[str, object], expected: object) -> None:
    """But only a result that can be read and is complete proves that it is not part of the review."""
    found = plain(checked(docflow(), RULE, shown(value)))
    assert type(found) is expected if isinstance(expected, type) else found == expected


@pytest.mark.parametrize("status", [0, 3, 5, 6, 7])
@pytest.mark.parametrize(
    "groups",
    [
        [],
        None,
        [{"group_id": "1", "review_tasks": None}],
        [{"group_id": "1", "review_tasks": []}],
        [{"review_tasks": [rule(review_result=None)]}],
        [{"review_tasks": [rule("1"), {"rule_id": "271828"}]}],
        [{"review_tasks": [rule("1")]}],
    ],
)
def test_a_rule_that_the_review_has_not_come_to_is_as_the_review(status: int, groups: object) -> None:
    """However it shows that: it runs while the review does, and failed upstream where recognition did."""
    state, message = STATUSES[status]
    found = plain(checked(docflow(), RULE, shown(result(status, groups=groups))))
    assert found == Reading(state=state, code=str(status), message=message)


@pytest.mark.parametrize(
    "groups", [[], None, [{"group_id": "1"}], [{"review_tasks": []}], [{"review_tasks": None}, {"review_tasks": []}]]
)
def test_the_rule_of_a_review_that_failed_before_its_rules_failed(groups: object) -> None:
    """It is retried; one that failed with other rules shows that this is not one of them."""
    failed = Reading(state=State.FAILED, code="2", message="review failed")
    assert plain(checked(docflow(), RULE, shown(result(2, groups=groups)))) == failed
    assert checked(docflow(), RULE, shown(result(2, rule("1")))) == NOT_PART


@pytest.mark.parametrize("rule_id", ["271828", 271828])
def test_rule_ids_may_come_as_numbers(rule_id: object) -> None:
    """They are the same ids."""
    assert isinstance(checked(docflow(), RULE, shown(result(1, rule(rule_id)))), Reading)


@pytest.mark.parametrize("value", [None, {}, [], "ok", result(1, task_id="999")])
def test_a_result_nobody_can_read_is_unreadable(value: object) -> None:
    """Nor is that of another review ours."""
    assert isinstance(checked(docflow(), REVIEW, shown(value)), Unreadable)
    assert isinstance(checked(docflow(), RULE, shown(value)), Unreadable)


@pytest.mark.parametrize(
    "groups", [[{}] * (MAX_RULES + 1), [{"review_tasks": [0] * MAX_RULES}, {"review_tasks": [0]}], [0] * 99_999]
)
def test_rules_without_end_are_not_read(groups: list[object]) -> None:
    """Their number alone says that the answer is not one that we understand."""
    for one in (REVIEW, RULE):
        found = checked(docflow(), one, shown(result(1, groups=groups)))
        assert found == Unreadable(**said(200, message="more than 10000 groups or rules"))


@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_any_success_shows_a_result(status: int) -> None:
    """To read is harmless; a retry is accepted with HTTP 200 only."""
    assert isinstance(checked(docflow(), REVIEW, envelope(200, status, result=result(1))), Reading)


@pytest.mark.parametrize("task_id", [None, "31415926", 31415926])
def test_a_result_may_name_the_review_or_not(task_id: object) -> None:
    """It was asked for by its id."""
    assert isinstance(checked(docflow(), REVIEW, shown(result(1, task_id=task_id))), Reading)


@pytest.mark.parametrize(("code", "expected"), [*ROWS.items(), *HTTPS.items(), *UNLISTED.items()])
def test_codes_of_checks(code: int, expected: Outcome) -> None:
    """Those about account, speed and DocFlow's own fault mean the same; a refusal means nothing for the task."""
    found = checked(docflow(), REVIEW, envelope(code))
    if code == 404:
        assert found == Reading(state=State.MISSING, code="404", message="words")
    elif isinstance(expected, Already):
        assert found == Unreadable(forbidden=expected.forbidden, **said(code))
    else:
        assert found == outcome(docflow(), REVIEW, envelope(code))


@pytest.mark.parametrize("status", [400, 409, 410, 422])
def test_a_refusal_in_docflows_own_words_is_not_an_outage(status: int) -> None:
    """Whatever HTTP says of it; in anybody else's words it is."""
    assert checked(docflow(), REVIEW, envelope(7, status)) == Unreadable(**said(7, status))
    foreign = answered({"code": 7, "message": "upstream"}, status)
    assert checked(docflow(), REVIEW, foreign) == Unknown(**said(7, status, "upstream"))


@pytest.mark.parametrize("body", [{"code": 503, "msg": "busy"}, {"code": 7, "msg": "busy"}])
@pytest.mark.parametrize("status", [500, 502, 503, 900])
def test_a_fault_of_docflows_own_says_so(status: int, body: dict[str, object]) -> None:
    """That is an answer, of a retry and of a check; a front end's page is not one."""
    for found in (
        outcome(docflow(), REVIEW, answered(body, status)),
        checked(docflow(), REVIEW, answered(body, status)),
    ):
        assert found == Unknown(answered=True, **said(body["code"], status, "busy"))
    for foreign in (b"<html>", {"message": "upstream"}, {"code": 502, "message": "upstream"}):
        found = outcome(docflow(), REVIEW, answered(foreign, status))
        assert isinstance(found, Unknown)
        assert not found.answered


GONE = [
    "review task not found",
    "Review not found",
    "The task does not exist",
    "Task doesn't exist.",
    "review 31415926 has been deleted",
    "this task no longer exists",
    "\u5ba1\u6838\u4efb\u52a1\u4e0d\u5b58\u5728",
]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("words", GONE)
def test_a_review_that_is_not_there_is_missing(words: str, status: int) -> None:
    """The code is that of every bad parameter, so that only words tell; the retry itself is only refused."""
    exchange = answered({"code": 400, "msg": words, "traceId": "t-1"}, status)
    assert checked(docflow(), REVIEW, exchange) == Reading(state=State.MISSING, code="400", message=words)
    assert outcome(docflow(), REVIEW, exchange) == Already(**said(400, status, words))


@pytest.mark.parametrize(
    "words", ["no such review", "workspace not found", "page not found", "bad parameter: task_id", "task is running"]
)
def test_other_refusals_of_a_check_are_only_unreadable(words: str) -> None:
    """They do not say that it is the review that is not there."""
    found = checked(docflow(), REVIEW, answered({"code": 400, "msg": words}))
    assert found == Unreadable(**said(400, message=words))


def test_a_deleted_review_is_missing() -> None:
    """404 in DocFlow's own words."""
    found = checked(docflow(), REVIEW, answered({"code": 404, "msg": "deleted"}, 404))
    assert found == Reading(state=State.MISSING, code="404", message="deleted")


# --- archives and marks ------------------------------------------------------------------------------------------


def test_results_are_kept_where_asked() -> None:
    """The whole result for a review, its own entry for a rule."""
    provider, own = docflow(archive_results=True), rule(anchors=[{"text": "original"}])
    call = only(provider.checks([REVIEW, RULE]))
    found = keyed_results(provider.results(call, shown(result(4, own))).results)
    assert found == {REVIEW.id: result(4, own), RULE.id: own}
    assert set(keyed_results(docflow().results(call, shown(result(4, own))).results).values()) == {None}


def keyed_results(results: Any) -> dict[int, Any]:
    return {id_: one.result for id_, one in results.items()}


def marks(value: dict[str, object]) -> tuple[str, str]:
    """Of the review and of its rule."""
    found = [checked(docflow(), one, shown(value)) for one in (REVIEW, RULE)]
    review, own = (one.mark for one in found if isinstance(one, Reading))
    assert len(review) <= 64
    assert len(own) <= 64
    return review, own


STATISTICS = {"statistics": {"pass_count": 1}}
BEFORE = result(2, rule(), rule("1"), **STATISTICS)


@pytest.mark.parametrize(
    ("after", "new_review", "new_rule"),
    [
        (BEFORE, False, False),
        (result(2, rule("1"), rule(), **STATISTICS), False, False),
        (result(2, rule(audit_result=1, audit_message="seen"), rule("1"), **STATISTICS), False, False),
        ({**BEFORE, "task_name": "renamed"}, False, False),
        (result(2, rule(rule_task_id="2"), rule("1"), **STATISTICS), True, True),
        (result(2, rule(reasoning="because"), rule("1"), **STATISTICS), True, True),
        (result(2, rule(review_result=4), rule("1"), **STATISTICS), True, True),
        (result(2, rule(), rule("1", rule_task_id="2"), **STATISTICS), True, False),
        (result(2, rule(), rule("1"), statistics={"pass_count": 2}), True, False),
        ({**BEFORE, "extract_task_ids": ["9"]}, True, False),
    ],
)
def test_a_mark_shows_a_new_run(after: dict[str, object], new_review: bool, new_rule: bool) -> None:  # noqa: FBT001
    """What a run writes changes it; order, names and what people add do not."""
    before, found = marks(BEFORE), marks(after)
    assert [was != now for was, now in zip(before, found, strict=True)] == [new_review, new_rule]
