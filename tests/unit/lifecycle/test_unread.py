"""Looks that bring no reading: which of them count, how they grow rarer, and where they end."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models import lifecycle
from redrive.models.lifecycle import Context
from redrive.models.lifecycle.grid import rounded_up
from redrive.models.outcome import (
    Already,
    Blocked,
    Cause,
    CheckResult,
    Deferred,
    Reading,
    State,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.policy import unread_check_seconds
from redrive.models.providers import DOCFLOW
from redrive.models.rules import Rules
from redrive.models.settings.policy import Policy
from redrive.models.states import FOLLOWED_STATES, DeadReason, Operation, SetAside, Status, Wish
from redrive.models.task import Task
from tests.support.samples import BATCH, NOW, RULES, task

DELETED = Unreadable(code="400", message="review task not found")
SILENCE = Unknown(message="timeout")
NO_CALL = Deferred(message="no call for it", of_task=True)
PREVENTED: tuple[CheckResult, ...] = (
    Throttled(message="limit"),
    Blocked(cause=Cause.BALANCE),
    Unsent(),
    Deferred(message="no route"),
)
DEFAULT = replace(RULES, policy=Policy(jitter="none"))
REVIEWS = replace(DEFAULT, capabilities=DOCFLOW)
HOUR = timedelta(hours=1)


def to_check(status: Status, **values: object) -> Task:
    since = {"status_since": NOW, "round_at": NOW, "due_at": NOW, "next": Operation.CHECK}
    return task(status, **since | values)


def seen_by(was: Task, look: CheckResult, now: datetime, rules: Rules) -> Task:
    context = Context(rules, now)
    if isinstance(look, Reading):
        return lifecycle.read(was, look, now, context).task
    return lifecycle.unread(was, look, context)


def life(was: Task, look: Callable[[int], CheckResult], rules: Rules = DEFAULT, days: float = 40) -> Iterator[Task]:
    """Each time it is due for a check, until it wants none any more."""
    end, n = NOW + timedelta(days=days), 0
    while was.due_at is not None and was.next is Operation.CHECK and was.due_at < end:
        now, n = was.due_at, n + 1
        was = seen_by(was, look(n), now, rules)
        yield replace(was, updated_at=now)


@pytest.mark.parametrize("look", [DELETED, SILENCE, NO_CALL], ids=["not understood", "no answer", "no call"])
@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED])
def test_a_failed_task_that_nobody_can_check_at_is_held_in_the_end(status: Status, look: CheckResult) -> None:
    """Not looked at for ever, and never retried on a guess."""
    played = list(life(to_check(status, attempts=0, spent=0), lambda _: look))
    assert len(played) == DEFAULT.policy.max_errors
    end = played[-1]
    assert (end.status, end.held_from, end.last_error, end.errors) == (Status.HELD, status, look.message, 0)
    assert end.updated_at - NOW < timedelta(days=1)
    assert lifecycle.set_aside(to_check(status), end) is SetAside.UNREADABLE


@pytest.mark.parametrize(
    ("look", "longest"), [(DELETED, HOUR), (NO_CALL, HOUR), (SILENCE, timedelta(minutes=5))], ids=lambda x: str(x)[:12]
)
def test_checks_grow_rarer(look: CheckResult, longest: timedelta) -> None:
    """Answers that nobody understands to an hour; an outage ends one day, and is looked through sooner."""
    moments = [each.updated_at for each in life(to_check(Status.FAILED), lambda _: look)]
    waits = [after - before for before, after in pairwise(moments)]
    assert waits == sorted(waits)
    assert timedelta(seconds=30) <= waits[0] < timedelta(seconds=33)
    assert longest <= waits[-1] < 1.1 * longest


@given(
    errors=st.integers(1, 10**6),
    check_after=st.floats(0.001, 1e6),
    more=st.floats(0, 1e6),
    was_answered=st.booleans(),
)
def test_a_wait_never_shrinks_nor_overflows(errors: int, check_after: float, more: float, was_answered: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever the policy: between ``check_after`` and the longest wait, and one more error never makes it shorter."""
    policy = Policy(check_after_seconds=check_after, check_max_seconds=check_after + more, check_timeout_seconds=1e7)
    one, next_ = (unread_check_seconds(policy, n, was_answered=was_answered) for n in (errors, errors + 1))
    assert check_after <= one <= next_ <= max(check_after + more, 3600)


@pytest.mark.parametrize("backoff", ["constant", (7200.0,)])
def test_checks_grow_rarer_whatever_the_backoff_of_retries_is(backoff: object) -> None:
    """Looks have a curve of their own."""
    policy = Policy.model_validate({"backoff": backoff})
    assert [unread_check_seconds(policy, n, was_answered=True) for n in (1, 2, 3, 9)] == [30, 60, 120, 3600]


@pytest.mark.parametrize("look", [DELETED, SILENCE, NO_CALL], ids=["not understood", "no answer", "no call"])
def test_a_running_retry_is_followed_to_its_end_whatever_its_checks_bring(look: CheckResult) -> None:
    """It was accepted: not given up a moment before ``check_timeout_seconds``."""
    end = list(life(to_check(Status.RETRYING), lambda _: look))[-1]
    assert (end.status, end.dead_reason) == (Status.DEAD, DeadReason.EXPIRED)
    assert timedelta(days=1) <= end.updated_at - NOW <= timedelta(days=1, hours=1)


@pytest.mark.parametrize(
    ("on_unknown", "expected"), [("hold", Status.HELD), ("retry", Status.FAILED)], ids=["hold", "retry"]
)
def test_a_doubtful_task_that_nobody_can_read_ends_as_the_policy_says(on_unknown: str, expected: Status) -> None:
    """After as many checks in a row as allowed, and not only after a day."""
    rules = replace(DEFAULT, policy=Policy.model_validate({"jitter": "none", "on_unknown": on_unknown}))
    was = to_check(Status.UNKNOWN)
    played = list(life(was, lambda _: DELETED, rules))
    assert (played[-1].status, len(played)) == (expected, 20)
    assert lifecycle.set_aside(was, played[-1]) is (SetAside.UNKNOWN if on_unknown == "hold" else None)


@pytest.mark.parametrize("wish", Wish)
def test_a_wish_is_granted_at_the_bound(wish: Wish) -> None:
    """Nobody waits for a check that never comes."""
    end = list(life(to_check(Status.UNKNOWN, wish=wish), lambda _: DELETED))[-1]
    assert (end.status, end.dead_reason) == {
        Wish.HOLD: (Status.HELD, None),
        Wish.STOP: (Status.DEAD, DeadReason.STOPPED),
    }[wish]


@pytest.mark.parametrize("status", [Status.PENDING, Status.RUNNING])
def test_checks_at_work_that_nobody_can_read_stop_and_say_so(status: Status) -> None:
    """Its owner reports how it ends; somebody only asked for a check."""
    end = list(life(to_check(status), lambda _: DELETED))[-1]
    assert (end.status, end.due_at, end.next) == (status, None, Operation.RETRY)
    assert "its checks have stopped: 20 in a row could not be read" in end.last_error
    assert DELETED.message in end.last_error


@pytest.mark.parametrize("words", ["", "x" * 10_000], ids=["no words", "a host's long words"])
def test_words_about_words_stay_as_long_as_a_row_can_hold(words: str) -> None:
    """Somebody asks for looks again and again, and no answer has any words of its own."""
    was = to_check(Status.RUNNING, last_error=words)
    for _ in range(30):
        was = replace(list(life(was, lambda _: Unreadable()))[-1], next=Operation.CHECK, due_at=NOW)
    assert 0 < len(was.last_error) < 1000


def test_a_reading_in_between_begins_the_count_again() -> None:
    """Only looks in a row count."""
    running = Reading(state=State.RUNNING)
    played = list(life(to_check(Status.UNKNOWN), lambda n: running if n % 15 == 0 else DELETED, days=3))
    assert played[-1].dead_reason == DeadReason.EXPIRED
    assert all(each.status in FOLLOWED_STATES for each in played[:-1])


def refused(was: Task, rules: Rules, now: datetime) -> Task:
    sent = replace(was, status=Status.IN_FLIGHT, batch_id=BATCH, held_from=Status.FAILED, attempts=was.attempts + 1)
    return lifecycle.answered(sent, Already(code="400", message=DELETED.message), Context(rules, now))


@pytest.mark.parametrize("words", ["review task not found", "rule is locked", "4711 is archived"])
def test_what_is_refused_on_both_calls_ends_within_minutes(words: str) -> None:
    """In the provider's words, without a second retry: what nobody can read may be a run."""
    was = refused(task(Status.FAILED, errors=19), REVIEWS, NOW)
    end = list(life(was, lambda _: Unreadable(message=words), REVIEWS))[-1]
    assert (end.status, end.dead_reason, end.last_error) == (Status.DEAD, DeadReason.REFUSED, words)
    assert timedelta(minutes=1) <= end.updated_at - NOW <= timedelta(minutes=5)


def test_an_old_state_settles_while_our_account_stands_still() -> None:
    """It is the provider's time that passes, not ours."""
    was = replace(refused(task(Status.FAILED), REVIEWS, NOW), errors=1)
    stood_all_the_time = Context(REVIEWS, NOW + HOUR, stood=lambda since: NOW + HOUR - since)
    assert lifecycle.unread(was, DELETED, stood_all_the_time).dead_reason == DeadReason.REFUSED


@pytest.mark.parametrize(
    ("answer", "reason"), [(State.MISSING, DeadReason.NOT_FOUND), (State.FAILED, DeadReason.REFUSED)]
)
def test_a_dispute_ends_as_what_the_provider_shows(answer: State, reason: DeadReason) -> None:
    """Refused twice, and the checks in between said "failed", or "no such task"."""
    was, now = task(Status.FAILED, status_since=NOW, round_at=NOW), NOW
    for _ in range(2):
        was = list(life(refused(was, REVIEWS, now), lambda _: Reading(state=answer, message="gone"), REVIEWS))[-1]
        now = was.due_at or was.updated_at
    assert (was.status, was.dead_reason, was.last_error) == (Status.DEAD, reason, "gone")
    assert was.updated_at - NOW <= timedelta(minutes=5)


def test_an_outage_of_the_status_call_is_not_a_refusal() -> None:
    """Refused, and then no answer to its looks for half an hour: nothing is decided by that."""
    was = refused(task(Status.FAILED), REVIEWS, NOW)
    played = [each for each in life(was, lambda _: SILENCE, REVIEWS) if each.updated_at - NOW < HOUR / 2]
    assert {each.status for each in played} == {Status.UNKNOWN}


@given(
    status=st.sampled_from([Status.FAILED, Status.CANCELED, *FOLLOWED_STATES, Status.PENDING, Status.RUNNING]),
    results=st.lists(st.sampled_from(PREVENTED), min_size=1, max_size=30),
    errors=st.integers(0, 19),
    age=st.timedeltas(timedelta(), timedelta(days=300)),
)
def test_what_was_no_chance_to_check_decides_nothing(
    status: Status, results: list[Unknown], errors: int, age: timedelta
) -> None:
    """However often, however old the task: it is only due again, and soon."""
    was = now = to_check(status, errors=errors, status_since=NOW - age, round_at=NOW - age)
    for look in results:
        now = lifecycle.unread(now, look, Context(DEFAULT, NOW))
        assert now.due_at in (NOW, rounded_up(NOW + timedelta(seconds=30), 30, was.account))
        assert now == replace(was, due_at=now.due_at, last_error=now.last_error)


@pytest.mark.parametrize("look", [*PREVENTED, SILENCE], ids=lambda look: look.name)
def test_a_probe_that_fails_costs_its_task_nothing(look: Unknown) -> None:
    """It tried whether the account works again: its task is due as before, with its errors as before."""
    was = to_check(Status.UNKNOWN, errors=19, status_since=NOW - timedelta(days=2))
    now = lifecycle.unread(was, look, Context(DEFAULT, NOW), probe=True)
    assert now == replace(was, last_error=look.message or was.last_error)


def test_a_probe_that_is_answered_counts() -> None:
    """It says something of the task, and could be the answer to every probe."""
    was = to_check(Status.UNKNOWN, errors=3)
    assert lifecycle.unread(was, DELETED, Context(DEFAULT, NOW), probe=True).errors == 4
