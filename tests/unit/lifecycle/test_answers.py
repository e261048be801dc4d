"""What an answer to a retry costs its task, and what the way to the provider costs it: nothing."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models import lifecycle
from redrive.models.lifecycle import Context
from redrive.models.outcome import Accepted, Blocked, Cause, Deferred, Outcome, Throttled, Unknown, Unsent
from redrive.models.policy import backoff_seconds
from redrive.models.states import DeadReason, Operation, Status, Wish
from redrive.models.task import Task
from tests.support.samples import BATCH, BLIND, NOW, RULES, task, with_policy

NO_WAY = Deferred(message="no route")
NO_CALL = Deferred(message="no call for it", of_task=True)


def sent(**values: Any) -> Task:
    return task(Status.IN_FLIGHT, **{"batch_id": BATCH, "held_from": Status.FAILED} | values)


def answered(was: Task, outcome: Outcome, *, probe: bool = False, rules: Any = RULES, seed: int = 1) -> Task:
    return lifecycle.answered(was, outcome, Context(rules, NOW, Random(seed)), probe=probe)


def again(was: Task) -> Task:
    return replace(was, status=Status.IN_FLIGHT, batch_id=BATCH, held_from=was.status, due_at=None)


@pytest.mark.parametrize(
    "prevented", [NO_WAY, Throttled(), Blocked(cause=Cause.ADDRESS), Unsent()], ids=lambda x: x.name
)
@pytest.mark.parametrize("origin", [Status.FAILED, Status.CANCELED])
def test_no_outage_is_long_enough_to_kill_a_task(prevented: Outcome, origin: Status) -> None:
    """A thousand calls that never left, over weeks: the task is as it was."""
    was = now = sent(held_from=origin, errors=2, round_at=NOW - timedelta(days=60))
    for _ in range(1000):
        now = again(answered(now, prevented))
    assert (now.errors, now.spent, now.held_from) == (was.errors, was.spent, origin)


@pytest.mark.parametrize("errors", [0, 3, 18])
def test_a_task_without_a_call_is_undeliverable_in_the_end(errors: int) -> None:
    """There it is the task that is wrong, and not the way."""
    rules, now = with_policy(RULES, max_errors=20), sent(errors=errors)
    for _ in range(20 - errors):
        assert now.status is Status.IN_FLIGHT
        end = answered(now, NO_CALL, rules=rules)
        now = again(end) if end.dead_reason is None else end
    assert now.dead_reason == DeadReason.UNDELIVERABLE


@given(
    jitter=st.sampled_from(["full", "equal", "none"]),
    errors=st.integers(0, 1000),
    spent=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_what_never_left_waits_for_the_first_backoff(jitter: str, errors: int, spent: int, seed: int) -> None:
    """Whatever is spent and whatever went wrong before."""
    rules = with_policy(RULES, jitter=jitter)
    due_at = answered(sent(errors=errors, spent=spent, attempts=spent), NO_WAY, rules=rules, seed=seed).due_at
    assert due_at is not None
    assert NOW <= due_at <= NOW + timedelta(seconds=backoff_seconds(rules.policy, 1))


@pytest.mark.parametrize("wish", Wish)
def test_a_wish_is_granted_when_nothing_left(wish: Wish) -> None:
    """Nothing is under way that somebody would have to wait for."""
    assert answered(sent(wish=wish), NO_WAY).status is {Wish.HOLD: Status.HELD, Wish.STOP: Status.DEAD}[wish]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (NO_WAY, Status.FAILED), (Throttled(), Status.FAILED), (Blocked(cause=Cause.BALANCE), Status.FAILED),
        (Unsent(), Status.FAILED), (Unknown(), Status.UNKNOWN),
    ],
    ids=lambda x: getattr(x, "name", x),
)  # fmt: skip
def test_a_probe_that_fails_costs_its_task_only_what_may_have_arrived(outcome: Outcome, expected: Status) -> None:
    """Due at once, with its errors as before: the breaker holds it back."""
    now = answered(sent(errors=19), outcome, probe=True)
    assert (now.status, now.spent) == (expected, 1 + isinstance(outcome, Unknown))
    if expected is Status.FAILED:
        assert (now.due_at, now.errors) == (NOW, 19)


def test_a_probe_of_a_task_without_a_call_moves_it_out_of_the_way() -> None:
    """It says nothing of the account, and would be every probe."""
    now = answered(sent(), NO_CALL, probe=True)
    assert (now.errors, now.due_at) == (1, NOW + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("ref", "before", "expected"),
    [("run-7", "", "run-7"), ("run-7", "run-6", "run-7"), ("", "run-6", "run-6"), ("x" * 300, "", "x" * 255)],
)
@pytest.mark.parametrize(
    "rules", [RULES, BLIND, with_policy(BLIND, on_unknown="retry")], ids=["checks", "holds", "retries"]
)
def test_a_doubtful_answer_names_the_run_that_checks_follow(ref: str, before: str, expected: str, rules: Any) -> None:
    """As an acceptance does."""
    for outcome in (Unknown(ref=ref), Accepted(ref=ref)):
        assert answered(sent(provider_ref=before), outcome, rules=rules).provider_ref == expected


def test_a_lost_batch_keeps_the_run_that_was_known() -> None:
    """Nobody knows of another."""
    was = sent(provider_ref="run-6")
    lost = lifecycle.lost(was, was_open=True, lease_until=NOW, context=Context(RULES, NOW))
    assert (lost.provider_ref, lost.next) == ("run-6", Operation.CHECK)
