"""Whatever happens in whatever order, a task stays one that its row can hold and that somebody looks after."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.models import lifecycle
from redrive.models.ledger.check_step import wants_check
from redrive.models.lifecycle import Context
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    Deferred,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.sql.migrations.row_rules_0002 import MOST
from redrive.models.states import (
    AT_WORK_STATES,
    ENDED_STATES,
    FAILED_STATES,
    FOLLOWED_STATES,
    DeadReason,
    Operation,
    Status,
)
from redrive.models.task import Task
from tests.support.samples import BATCH, BLIND, NOW, RULES, task, with_policy

OUTCOMES: tuple[Outcome, ...] = (
    Accepted(ref="run"), Accepted(), Already(), Refused(reason=DeadReason.NOT_FOUND), Deferred(),
    Deferred(of_task=True), Throttled(), Blocked(cause=Cause.BALANCE), Unknown(), Unknown(ref="run"), Unsent(),
)  # fmt: skip
NO_READINGS = (*(each for each in OUTCOMES if not isinstance(each, Accepted)), Unreadable())
SETTINGS = (
    RULES,
    BLIND,
    with_policy(RULES, retry_canceled=False, on_unknown="retry", max_retries=0),
    with_policy(BLIND, on_unknown="retry", track_results=False),
    with_policy(replace(RULES, archives=True), check_before_retry="always"),
)
Act = Callable[[Task, Context, Random], Task]
MOVES: dict[str, Act] = {
    "hold": lambda x, c, _: lifecycle.hold(x, c, is_open=is_open(x)).task,
    "release": lambda x, c, _: lifecycle.release(x, c).task,
    "stop": lambda x, c, _: lifecycle.stop(x, c, is_open=is_open(x)).task,
    "retry": lambda x, c, dice: lifecycle.retry_now(x, c, releases=dice.random() < 0.5).task,
    "force": lambda x, c, _: lifecycle.force(x, c).task,
    "revive": lambda x, c, _: lifecycle.revive(x, c).task,
    "report": lambda x, c, dice: lifecycle.report(x, dice.choice(REPORTED), c, at=None).task,
    "add": lambda x, c, dice: lifecycle.add_again(x, task(dice.choice(REPORTED[:-1])), c),
    "wake": lambda x, c, _: lifecycle.woken(x, c),
    "unhold": lambda x, c, _: lifecycle.unheld(x, c),
    "readmit": lambda x, c, _: lifecycle.readmitted(x, c),
}
REPORTED = (*AT_WORK_STATES, *FAILED_STATES, Status.SUCCEEDED)


def is_open(was: Task) -> bool:
    """Every other batch has opened its attempt."""
    return was.status is Status.IN_FLIGHT and was.attempts % 2 == 0


def worked(was: Task, context: Context, dice: Random) -> Task:
    """What Redrive itself would do with the task next."""
    probe = dice.random() < 0.3
    if was.status is Status.IN_FLIGHT:
        if dice.random() < 0.2:
            return lifecycle.lost(was, was_open=dice.random() < 0.5, lease_until=context.now, context=context)
        return lifecycle.answered(was, dice.choice(OUTCOMES), context, probe=probe)
    if wants_check(was) and not context.rules.capabilities.can_check:
        return lifecycle.uncheckable(was, context)
    if wants_check(was) and dice.random() < 0.6:
        reading = Reading(state=dice.choice(list(State)), mark=dice.choice(["", "a", "b"]))
        return lifecycle.read(was, reading, context.now, context).task
    if wants_check(was):
        return lifecycle.unread(was, dice.choice(NO_READINGS), context, probe=probe)
    if was.status in FAILED_STATES and was.due_at is not None:
        found = lifecycle.consider(was, BATCH, context, busy=probe, archived=dice.random() < 0.5).task
        return replace(found, attempts=found.attempts + (found.status is Status.IN_FLIGHT))
    return was


def is_possible(found: Task) -> bool:
    """The schema's rules, and that nothing is forgotten."""
    status, due = found.status, found.due_at is not None
    return (
        (status is Status.DEAD) == (found.dead_reason is not None)
        and (status is Status.IN_FLIGHT) == (found.batch_id is not None)
        and (status in (Status.HELD, Status.IN_FLIGHT)) == (found.held_from is not None)
        and found.held_from in (None, *AT_WORK_STATES, *FAILED_STATES)
        and (found.wish is None or status in (Status.IN_FLIGHT, *FOLLOWED_STATES))
        and (due or status not in (Status.FAILED, *FOLLOWED_STATES))
        and not (due and status in (Status.IN_FLIGHT, Status.HELD, *ENDED_STATES))
        and (found.next is Operation.CHECK or status not in FOLLOWED_STATES)
        and max(found.errors, found.refusals, found.granted, found.attempts) <= MOST
        and 0 <= found.spent <= found.attempts
    )


@settings(max_examples=200, deadline=None)
@given(
    begins=st.sampled_from([task(Status.FAILED, due_at=NOW), task(Status.CANCELED, due_at=NOW), task(Status.RUNNING)]),
    full=st.sets(st.sampled_from(["errors", "refusals", "granted"])),
    attempts=st.sampled_from([2, MOST - 3]),
    steps=st.lists(st.tuples(st.sampled_from([*MOVES, *[""] * 20]), st.integers(0, 10**6)), max_size=60),
    stood=st.timedeltas(timedelta(), timedelta(days=3)),
    seed=st.integers(0, 9999),
)
def test_every_history_leaves_a_possible_task(
    begins: Task, full: set[str], attempts: int, steps: list[tuple[str, int]], stood: timedelta, seed: int
) -> None:
    """People and owners come between, settings change, time jumps, and counters stand at their end."""
    dice, now = Random(seed), NOW
    was = replace(begins, attempts=attempts, **dict.fromkeys(full, MOST))
    for name, seconds in steps:
        now += timedelta(seconds=seconds)
        context = Context(dice.choice(SETTINGS), now, dice, stood=lambda _since: stood)
        was = MOVES[name](was, context, dice) if name else worked(was, context, dice)
        assert is_possible(was), (name, was)
