"""Ages: what grows old while nobody can call, and what moments ahead of the clock do."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models import lifecycle
from redrive.models.lifecycle import Context
from redrive.models.outcome import Accepted, Reading, State, Unknown, Unreadable
from redrive.models.states import DeadReason, Operation, Status
from redrive.models.task import Task
from tests.support.samples import BATCH, NOW, RULES, task

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
CHECK_RESULTS: dict[str, Callable[[Task, Context], Task]] = {
    "running": lambda x, c: lifecycle.read(x, Reading(state=State.RUNNING), c.now, c).task,
    "missing": lambda x, c: lifecycle.read(x, Reading(state=State.MISSING), c.now, c).task,
    "silent": lambda x, c: lifecycle.unread(x, Unknown(), c),
    "unreadable": lambda x, c: lifecycle.unread(x, Unreadable(), c),
}


def followed(since: datetime) -> Task:
    return task(Status.RETRYING, status_since=since, due_at=NOW, next=Operation.CHECK)


def stood_for(time: timedelta) -> Callable[[datetime], timedelta]:
    return lambda _since: time


@pytest.mark.parametrize("look", CHECK_RESULTS)
def test_a_retry_is_followed_for_as_long_as_somebody_could_check(look: str) -> None:
    """26 hours, of which the account was paused for all but minutes: the first check decides nothing."""
    was = followed(NOW - 26 * HOUR)
    assert CHECK_RESULTS[look](was, Context(RULES, NOW, stood=stood_for(25 * HOUR))).status is Status.RETRYING
    assert CHECK_RESULTS[look](was, Context(RULES, NOW, stood=stood_for(2 * HOUR))).dead_reason == DeadReason.EXPIRED


@pytest.mark.parametrize("spent", [1, 2])
def test_a_round_is_as_old_as_the_account_could_call(spent: int) -> None:
    """A task that waited eight days behind a pause fails for the second time: it has a week yet."""
    was = task(
        Status.UNKNOWN, spent=spent, attempts=spent, next=Operation.CHECK, due_at=NOW,
        status_since=NOW - HOUR, round_at=NOW - 8 * DAY,
    )  # fmt: skip
    failed = Reading(state=State.FAILED)
    ends = [
        lifecycle.read(was, failed, NOW, Context(RULES, NOW, stood=stood_for(days * DAY))).task for days in (0, 1, 2)
    ]
    assert [end.dead_reason for end in ends] == [DeadReason.TOO_OLD, DeadReason.TOO_OLD, None]
    assert ends[-1].status is Status.FAILED


@pytest.mark.parametrize("look", CHECK_RESULTS)
def test_nobody_asks_how_long_the_account_stood_before_it_matters(look: str) -> None:
    """The answer is a query: it is asked for only when the usual clock says that the time is over."""
    asked: list[datetime] = []

    def stood(since: datetime) -> timedelta:
        asked.append(since)
        return timedelta()

    CHECK_RESULTS[look](followed(NOW - DAY + timedelta(seconds=1)), Context(RULES, NOW, stood=stood))
    assert asked == []
    CHECK_RESULTS[look](followed(NOW - DAY), Context(RULES, NOW, stood=stood))
    assert asked == [NOW - DAY]


@given(st.timedeltas(timedelta(), 400 * DAY), st.timedeltas(timedelta(), 400 * DAY))
def test_an_age_is_never_negative(age: timedelta, stood: timedelta) -> None:
    """Standstills that begin before the moment, or overlap, do not make a task younger than new."""
    found = Context(RULES, NOW, stood=stood_for(stood)).age(NOW - age)
    assert found == max(age - stood, timedelta())


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), HOUR, 365 * DAY], ids=str)
@pytest.mark.parametrize("look", CHECK_RESULTS)
def test_a_status_since_a_moment_to_come_begins_now(ahead: timedelta, look: str) -> None:
    """A clock that went back, or a host's own row: it grows old from the first check on, and ends like any other."""
    was = followed(NOW + ahead)
    now = CHECK_RESULTS[look](was, Context(RULES, NOW))
    assert now.status_since == NOW
    later = CHECK_RESULTS[look](now, Context(RULES, NOW + DAY))
    assert later.dead_reason == DeadReason.EXPIRED


@pytest.mark.parametrize("ahead", [timedelta(seconds=1), HOUR, 365 * DAY], ids=str)
def test_a_round_that_begins_in_a_time_to_come_begins_now(ahead: timedelta) -> None:
    """Claims and answers both see to it."""
    was = task(Status.FAILED, due_at=NOW, round_at=NOW + ahead)
    assert lifecycle.consider(was, BATCH, Context(RULES, NOW), busy=False).task.round_at == NOW
    sent = task(Status.IN_FLIGHT, batch_id=BATCH, held_from=Status.FAILED, round_at=NOW + ahead)
    assert lifecycle.answered(sent, Accepted(), Context(RULES, NOW)).round_at == NOW


@pytest.mark.parametrize("status", [Status.PENDING, Status.FAILED, Status.RETRYING, Status.UNKNOWN, Status.SUCCEEDED])
def test_a_dated_report_is_not_older_than_a_moment_to_come(status: Status) -> None:
    """What is known since tomorrow is known since now, and a report of now is taken."""
    values: dict[str, Any] = {"due_at": NOW} if status not in (Status.PENDING, Status.SUCCEEDED) else {}
    was = task(status, status_since=NOW + DAY, **values)
    context = Context(RULES, NOW)
    assert lifecycle.report(was, Status.FAILED, context, at=NOW, reason="why").hint == ""
    assert "older" in lifecycle.report(was, Status.FAILED, context, at=NOW - HOUR, reason="why").hint


def test_a_report_from_a_host_whose_clock_is_ahead_is_of_now() -> None:
    """Its moment is kept as what everybody else knows of time."""
    was = task(Status.RUNNING)
    told = lifecycle.report(was, Status.FAILED, Context(RULES, NOW), at=NOW + DAY, reason="why").task
    assert (told.status, told.failed_at) == (Status.FAILED, NOW)


@pytest.mark.parametrize(("settle", "timeout", "expected"), [(60, 30, 60), (60, 90, 91), (1, 30, 31), (31, 30, 31)])
def test_a_rescued_task_settles_for_as_long_as_its_call_may_take(
    settle: float, timeout: float, expected: float
) -> None:
    """Its worker may have made its call in the last moment of its lease."""
    policy = RULES.policy.model_copy(update={"settle_seconds": settle})
    rules = replace(RULES, policy=policy, timeout_seconds=timeout)
    sent = task(Status.IN_FLIGHT, batch_id=BATCH, held_from=Status.FAILED)
    was = lifecycle.lost(sent, was_open=True, lease_until=NOW - HOUR, context=Context(rules, NOW))
    assert (was.status, was.status_since, was.due_at) == (Status.UNKNOWN, NOW, NOW)
    for seconds, status in ((expected - 0.1, Status.UNKNOWN), (expected, Status.FAILED)):
        asked_at = NOW + timedelta(seconds=seconds)
        looked = lifecycle.read(was, Reading(state=State.FAILED), asked_at, Context(rules, asked_at)).task
        assert looked.status is status
