"""Settings that change under tasks at rest, rounds that are granted, and tasks that are set aside."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from redrive.models import lifecycle
from redrive.models.capabilities import Capabilities
from redrive.models.lifecycle import CheckFirst, Claimed, Context, Leave, SetAsideTask
from redrive.models.outcome import Already, Deferred, Reading, State, Unknown, Unreadable
from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.models.sql.migrations.row_rules_0002 import MOST
from redrive.models.states import DeadReason, Operation, SetAside, Status, Wish
from redrive.models.task import Seen, Task
from tests.support.samples import BATCH, BLIND, FAR, LONG_AGO, NOW, RULES, task, with_policy

CONTEXT = Context(RULES, NOW)
RESTS = with_policy(RULES, retry_canceled=False)
SEEN = Seen(state="failed", mark="", at=LONG_AGO.isoformat(), first_at=LONG_AGO.isoformat(), number=2)


def claimed(was: Task, context: Context = CONTEXT, **more: Any) -> lifecycle.Decision:
    return lifecycle.consider(was, BATCH, context, busy=False, **more)


def reported(was: Task, *words: Status, context: Context = CONTEXT) -> Task:
    for word in words:
        was = lifecycle.report(was, word, context, at=None, reason="why").task
    return was


# --- rounds --------------------------------------------------------------------------------------------------------

SPENT_ALL = {"spent": 4, "attempts": 4}
SUCCEEDED = task(Status.SUCCEEDED, **SPENT_ALL)
DEAD = [task(Status.DEAD, **SPENT_ALL, dead_reason=reason) for reason in ("limit_reached", "too_old")]
AGAIN = [[Status.RUNNING, Status.FAILED], [Status.PENDING, Status.CANCELED]]
ENDS = [(was, words) for was in (SUCCEEDED, *DEAD) for words in AGAIN] + [(SUCCEEDED, [Status.FAILED])]


@pytest.mark.parametrize("most", [0, 1, 2, 3])
@pytest.mark.parametrize(("was", "words"), ENDS, ids=lambda x: getattr(x, "status", None) or "-".join(x))
def test_a_newer_failure_is_retried_as_often_as_a_new_task(was: Task, words: list[Status], most: int) -> None:
    """Four retries spent, and the policy allows fewer by now: what is overdrawn does not count against the round."""
    context = Context(with_policy(RULES, max_retries=most), NOW)
    uncapped = replace(context, rules=replace(context.rules, capabilities=replace(GEELARK, retry_cap=None)))
    was = reported(was, *words, context=uncapped)
    assert was.limit(uncapped.rules) - was.spent == most
    assert isinstance(claimed(was, uncapped), Claimed) == (most > 0)


def test_work_that_goes_to_and_fro_gathers_no_retries() -> None:
    """A host that reports every run of a task which succeeds each time: there is one round for the next failure."""
    was = task(Status.SUCCEEDED, spent=2, attempts=2)
    for _ in range(50):
        was = reported(was, Status.RUNNING, Status.SUCCEEDED)
    assert was.granted == 3


@pytest.mark.parametrize("again", ["report", "add"])
@pytest.mark.parametrize("rules", [RULES, RESTS], ids=["retries canceled", "does not"])
def test_what_rests_as_canceled_and_has_failed_since_is_retried(again: str, rules: Any) -> None:
    """Its owner ran it elsewhere, and that failed."""
    was, context = task(Status.CANCELED, **SPENT_ALL, due_at=None), Context(rules, NOW)
    failed = task(Status.FAILED, last_error="why")
    if again == "report":
        now = reported(was, Status.FAILED, context=context)
    else:
        now = lifecycle.add_again(was, failed, context)
    assert (now.status, now.due_at, now.round_at) == (Status.FAILED, NOW, NOW)
    assert now.limit(rules) > now.spent
    assert lifecycle.add_again(now, failed, context).granted == now.granted


@pytest.mark.parametrize("word", [Status.CANCELED, Status.PENDING, Status.RUNNING])
def test_a_nightly_export_wakes_nothing(word: Status) -> None:
    """It still lists the task as canceled."""
    was = task(Status.CANCELED, due_at=None)
    assert lifecycle.add_again(was, task(word), Context(RESTS, NOW)) == was


# --- settings and providers that change -----------------------------------------------------------------------------


@pytest.mark.parametrize("age", [timedelta(hours=1), timedelta(days=8), timedelta(days=400)], ids=str)
def test_what_rests_wakes_when_the_policy_retries_it_again(age: timedelta) -> None:
    """In a new round: its time at rest does not make it too old."""
    was = task(Status.CANCELED, due_at=None, round_at=NOW - age, errors=7)
    assert not lifecycle.wakes(was, Context(RESTS, NOW))
    assert lifecycle.woken(was, Context(RESTS, NOW)) == was
    now = lifecycle.woken(was, CONTEXT)
    assert (now.status, now.due_at, now.round_at, now.errors) == (Status.CANCELED, NOW, NOW, 0)
    assert isinstance(claimed(now), Claimed)


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.CANCELED])
def test_nothing_else_wakes(status: Status) -> None:
    """Whatever has no moment."""
    assert lifecycle.woken(task(status), CONTEXT) == task(status)


@pytest.mark.parametrize("origin", [Status.FAILED, Status.CANCELED])
def test_what_was_held_by_the_policy_is_released_by_the_policy(origin: Status) -> None:
    """``on_unknown`` said to hold it, and says to retry by now."""
    was = task(Status.HELD, held_from=origin, round_at=NOW - timedelta(days=30))
    retries = Context(with_policy(RULES, on_unknown="retry"), NOW)
    assert lifecycle.unheld(was, CONTEXT) == was
    now = lifecycle.unheld(was, retries)
    assert (now.status, now.next, now.due_at, now.round_at) == (origin, Operation.RETRY, NOW, NOW)


def test_a_retry_whose_provider_lost_its_status_call_ends() -> None:
    """Its end is that of one that nobody can read, and a standstill of the account moves it."""
    was = task(Status.RETRYING, next=Operation.CHECK, due_at=NOW, status_since=NOW)
    end = NOW + timedelta(days=1)
    assert lifecycle.uncheckable(was, Context(BLIND, NOW)).due_at == end
    assert lifecycle.uncheckable(was, Context(BLIND, end)).dead_reason == DeadReason.EXPIRED
    stood = lifecycle.uncheckable(was, Context(BLIND, end, stood=lambda _: timedelta(hours=3)))
    assert stood.due_at == end + timedelta(seconds=300)


@pytest.mark.parametrize("wish", [None, *Wish])
def test_a_doubtful_task_whose_provider_lost_its_status_call_is_as_the_policy_says(wish: Wish | None) -> None:
    """At once, as where there never was such a call."""
    was = task(Status.UNKNOWN, next=Operation.CHECK, due_at=NOW, wish=wish)
    now = lifecycle.uncheckable(was, Context(BLIND, NOW))
    assert now.status is {None: Status.HELD, Wish.HOLD: Status.HELD, Wish.STOP: Status.DEAD}[wish]
    retries = Context(with_policy(BLIND, on_unknown="retry"), NOW)
    if wish is None:
        assert lifecycle.uncheckable(was, retries).status is Status.FAILED


# --- archives ------------------------------------------------------------------------------------------------------


def test_a_result_is_archived_before_it_is_overwritten() -> None:
    """Also where a check was made while nobody archived; but a check that brings no result is not made for ever."""
    archiving = Context(replace(RULES, capabilities=DOCFLOW, archives=True), NOW)
    was = task(Status.FAILED, kind="review_task", due_at=NOW, seen=SEEN)
    assert isinstance(claimed(was, archiving, archived=True), Claimed)
    first = claimed(was, archiving, archived=False)
    assert isinstance(first, CheckFirst)
    for state in (State.FAILED, State.CANCELED, State.MISSING):
        looked = lifecycle.read(first.task, Reading(state=state), NOW, archiving).task
        assert isinstance(claimed(looked, archiving, archived=False), Claimed)


# --- set aside -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capabilities", "kind", "words"),
    [
        (GEELARK, "task", "leave it empty"),
        (HUAWEI_WORKSPACE, "", "must be task or record"),
        (HUAWEI_WORKSPACE, "Task", "must be task or record"),
        (DOCFLOW, "", "must be review_task or review_rule"),
        (DOCFLOW, "review", "must be review_task or review_rule"),
    ],
)
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED])
def test_an_unknown_kind_is_never_sent(capabilities: Capabilities, kind: str, words: str, status: Status) -> None:
    """Not even where it would be checked first, has no retry left, or rests; the words name the kinds there are."""
    for rules in (RULES, RESTS, replace(RULES, archives=True)):
        context = Context(replace(rules, capabilities=capabilities), NOW)
        for spent in (0, 99):
            found = claimed(task(status, kind=kind, due_at=NOW, spent=spent, attempts=spent), context)
            assert isinstance(found, SetAsideTask)
            assert (found.cause, found.task.status) == (SetAside.KIND, status)
            assert words in found.why
            assert found.task.due_at is not None
            assert found.task.due_at > NOW


@pytest.mark.parametrize(
    ("attempts", "expected"), [(MOST - 2, Claimed), (MOST - 1, SetAsideTask), (MOST, SetAsideTask)]
)
def test_a_task_with_as_many_attempts_as_a_row_can_count_is_set_aside(attempts: int, expected: type) -> None:
    """Its next attempt could not be written, which would stop its account."""
    found = claimed(task(Status.FAILED, due_at=NOW, attempts=attempts))
    assert isinstance(found, expected)
    if isinstance(found, SetAsideTask):
        assert found.cause is SetAside.ROW
        assert f"{attempts:,}" in found.why


def test_counters_stay_at_the_end_of_what_a_row_can_hold() -> None:
    """They decide nothing new from there on, and the row can still be written."""
    full = {"errors": MOST, "refusals": MOST, "granted": MOST}
    sent = task(Status.IN_FLIGHT, batch_id=BATCH, held_from=Status.FAILED, **full)
    followed = task(Status.RETRYING, next=Operation.CHECK, due_at=NOW, status_since=NOW, **full)
    ended = task(Status.SUCCEEDED, spent=2, attempts=2, **full)
    found = [
        lifecycle.answered(sent, Already(), CONTEXT),
        lifecycle.answered(sent, Already(), Context(BLIND, NOW)),
        lifecycle.answered(sent, Deferred(of_task=True), Context(with_policy(RULES, max_errors=1000), NOW)),
        lifecycle.unread(followed, Unreadable(), CONTEXT),
        lifecycle.unread(followed, Unknown(), CONTEXT),
        reported(ended, Status.FAILED),
        lifecycle.revive(ended, CONTEXT).task,
        lifecycle.force(ended, CONTEXT).task,
    ]
    assert all(max(each.errors, each.refusals, each.granted) <= MOST for each in found)


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED, Status.RETRYING, Status.UNKNOWN])
def test_what_is_let_out_of_quarantine_is_checked_first(status: Status) -> None:
    """Much may have happened meanwhile; and what its attempts have spent counts."""
    was = task(status, due_at=FAR, attempts=3, spent=1, next=Operation.CHECK)
    now = lifecycle.readmitted(was, CONTEXT, spent=3)
    assert (now.status, now.next, now.due_at, now.spent) == (status, Operation.CHECK, NOW, 3)
    assert lifecycle.readmitted(was, CONTEXT).spent == 1


def test_a_canceled_task_that_is_let_out_rests_where_the_policy_says_so() -> None:
    """It is not looked at either."""
    assert lifecycle.readmitted(task(Status.CANCELED, due_at=FAR), Context(RESTS, NOW)).due_at is None
    assert isinstance(claimed(task(Status.CANCELED, due_at=NOW), Context(RESTS, NOW)), Leave)


# --- requests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [Status.FAILED, Status.CANCELED, Status.PENDING, Status.RUNNING])
def test_a_request_releases_nothing_that_is_held(origin: Status) -> None:
    """An operator's hold is stronger than a program's wish; an operator's own retry releases."""
    was = task(Status.HELD, held_from=origin)
    said = lifecycle.retry_now(was, CONTEXT, releases=False)
    assert said.task == was
    assert "redrive release" in said.hint
    assert lifecycle.retry_now(was, CONTEXT).task.status is origin


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED, Status.RETRYING, Status.UNKNOWN, Status.RUNNING])
def test_a_request_is_a_retry_otherwise(status: Status) -> None:
    """The same moments, the same limits."""
    was = task(status, due_at=FAR)
    assert lifecycle.retry_now(was, CONTEXT, releases=False) == lifecycle.retry_now(was, CONTEXT)
