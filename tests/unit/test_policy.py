"""The retry policy as timetables: what an operator reads in hours, not in exponents."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.policy import (
    Dead,
    Event,
    RetryAt,
    TaskStanding,
    backoff_seconds,
    decide,
    jittered,
    next_check_seconds,
    unread_check_seconds,
)
from redrive.models.settings.policy import Policy
from redrive.models.states import DeadReason

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def policy(**values: Any) -> Policy:
    return Policy.model_validate({"jitter": "none"} | values)


def standing(**values: Any) -> TaskStanding:
    whole = {"spent": 1, "limit": 5, "errors": 0, "refusals": 0, "round_at": NOW}
    return TaskStanding(**(whole | values))


def after(policy: Policy, event: Event = Event.FAILED, **values: Any) -> RetryAt | Dead:
    return decide(policy, standing(**values), event, now=NOW, rng=Random(1))


@pytest.mark.parametrize(
    ("backoff", "timetable"),
    [
        ({}, "0:00:00 0:00:30 0:01:00 0:02:00 0:04:00 0:08:00 0:16:00 0:32:00 1:00:00 1:00:00"),
        (
            {"base_seconds": 10, "factor": 4, "max_seconds": 21_600},
            "0:00:00 0:00:10 0:00:40 0:02:40 0:10:40 0:42:40 2:50:40 6:00:00 6:00:00",
        ),
        ({"backoff": "linear", "base_seconds": 600}, "0:00:00 0:10:00 0:20:00 0:30:00 0:40:00 0:50:00 1:00:00 1:00:00"),
        ({"backoff": "constant", "base_seconds": 90}, "0:00:00 0:01:30 0:01:30 0:01:30"),
        ({"backoff": [30, 120, 600]}, "0:00:00 0:00:30 0:02:00 0:10:00 0:10:00"),
        # The list is what was written, whatever the longest wait is otherwise.
        ({"backoff": [7200], "max_seconds": 60}, "0:00:00 2:00:00 2:00:00"),
    ],
)
def test_timetable(backoff: dict[str, Any], timetable: str) -> None:
    """The wait after each attempt; before the first there is none."""
    for turns, expected in enumerate(timetable.split()):
        assert str(timedelta(seconds=backoff_seconds(policy(**backoff), turns))) == expected


@pytest.mark.parametrize("curve", ["exponential", "linear", "constant"])
@pytest.mark.parametrize("turns", [2, 1000, 10**9])
def test_no_number_of_attempts_overflows(curve: str, turns: int) -> None:
    """However steep the curve and however many the attempts, the wait is clamped and stays within the calendar."""
    steep = policy(backoff=curve, base_seconds=1e9, max_seconds=1e9, factor=1e300)
    assert backoff_seconds(steep, turns) == 1e9
    assert isinstance(after(steep, spent=turns, limit=turns + 1), RetryAt)


@given(seconds=st.floats(0, 1e9), seed=st.integers(0, 1000))
def test_jitter_stays_within_its_share(seconds: float, seed: int) -> None:
    """Full jitter takes from nothing to all of the wait, equal jitter at least half of it, none leaves it alone."""
    full, equal, none = (jittered(policy(jitter=word), seconds, Random(seed)) for word in ("full", "equal", "none"))
    assert 0 <= full <= seconds
    assert seconds / 2 <= equal <= seconds
    assert none == seconds


def test_jitter_spreads() -> None:
    """Tasks that failed together do not come back together."""
    waits = {round(jittered(policy(jitter="full"), 3600, Random(seed)) / 360) for seed in range(200)}
    assert waits == set(range(11))


def test_a_wait_counts_from_now() -> None:
    assert after(policy(), spent=2) == RetryAt(NOW + timedelta(minutes=1))


def test_undelivered_tasks_wait_by_their_errors() -> None:
    """What never left this machine does not count as an attempt, yet waits ever longer."""
    assert after(policy(), Event.UNDELIVERED, spent=0, errors=3) == RetryAt(NOW + timedelta(minutes=2))


WEEK_OLD = NOW - timedelta(days=7)


@pytest.mark.parametrize(
    ("event", "values", "reason"),
    [
        (Event.FAILED, {"spent": 5}, DeadReason.LIMIT_REACHED),
        (Event.FAILED, {"spent": 6}, DeadReason.LIMIT_REACHED),
        (Event.UNDELIVERED, {"spent": 5}, DeadReason.LIMIT_REACHED),
        (Event.FAILED, {"round_at": WEEK_OLD}, DeadReason.TOO_OLD),
        (Event.UNDELIVERED, {"errors": 20}, DeadReason.UNDELIVERABLE),
        (Event.DISPUTED, {"refusals": 2}, DeadReason.REFUSED),
        (Event.DENIED, {"refusals": 2}, DeadReason.NOT_FOUND),
        # The more telling reason wins.
        (Event.FAILED, {"spent": 5, "round_at": WEEK_OLD}, DeadReason.LIMIT_REACHED),
        (Event.DISPUTED, {"refusals": 2, "spent": 5}, DeadReason.REFUSED),
    ],
)
def test_dead(event: Event, values: dict[str, Any], reason: DeadReason) -> None:
    assert after(policy(), event, **values) == Dead(reason)


@pytest.mark.parametrize(
    ("event", "values"),
    [
        (Event.FAILED, {"spent": 4}),
        (Event.FAILED, {"round_at": WEEK_OLD + timedelta(seconds=1)}),
        (Event.UNDELIVERED, {"errors": 19}),
        (Event.DISPUTED, {"refusals": 1}),
        (Event.DENIED, {"refusals": 1}),
        # Errors and refusals decide only about what they are about.
        (Event.FAILED, {"errors": 99, "refusals": 9}),
        (Event.DISPUTED, {"errors": 99, "refusals": 1}),
        (Event.UNDELIVERED, {"errors": 1, "refusals": 9}),
    ],
)
def test_one_short_of_dead(event: Event, values: dict[str, Any]) -> None:
    assert isinstance(after(policy(), event, **values), RetryAt)


@pytest.mark.parametrize(
    ("stood", "expected"),
    [(timedelta(0), Dead), (timedelta(days=1), Dead), (timedelta(days=1, seconds=1), RetryAt)],
    ids=["never stood", "exactly", "a second more"],
)
def test_a_round_is_too_old_by_the_accounts_own_clock(stood: timedelta, expected: type) -> None:
    """Eight days old, a week is allowed: it depends on how long nobody could call."""
    eight_days = standing(round_at=NOW - timedelta(days=8))
    found = decide(policy(), eight_days, Event.FAILED, now=NOW, rng=Random(1), stood=lambda _since: stood)
    assert isinstance(found, expected)


@pytest.mark.parametrize(
    ("was_answered", "timetable"),
    [
        (False, "0:00:30 0:01:00 0:02:00 0:04:00 0:05:00 0:05:00 0:05:00 0:05:00 0:05:00"),
        (True, "0:00:30 0:01:00 0:02:00 0:04:00 0:08:00 0:16:00 0:32:00 1:00:00 1:00:00"),
    ],
    ids=["no answer", "not understood"],
)
def test_timetable_of_checks_that_bring_no_reading(was_answered: bool, timetable: str) -> None:  # noqa: FBT001
    """Ever less often, and what is answered with nonsense less often still."""
    for errors, expected in enumerate(timetable.split(), start=1):
        assert str(timedelta(seconds=unread_check_seconds(policy(), errors, was_answered=was_answered))) == expected


@pytest.mark.parametrize(("age", "wait"), [(0, 30), (29, 30), (60, 60), (200, 200), (300, 300), (86_400, 300)])
def test_checks_grow_rarer_with_age(age: float, wait: float) -> None:
    assert next_check_seconds(policy(), age) == wait
