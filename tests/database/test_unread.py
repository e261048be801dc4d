"""Looks that bring no reading, runs that an unreadable answer names, and rows that others wrote."""

from datetime import timedelta
from typing import Any

import pytest

from redrive.models.outcome import (
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
from redrive.models.states import Operation, Status
from tests.support.world import World

DELETED = Unreadable(code="400", message="review task not found")


@pytest.mark.parametrize(
    "look",
    [Throttled(wait_seconds=60), Blocked(cause=Cause.CREDENTIALS), Deferred(message="no route"), Unsent()],
    ids=lambda look: look.name,
)
def test_after_a_long_pause_the_first_check_that_was_none_decides_nothing(world: World, look: CheckResult) -> None:
    """Nobody could look for 26 hours, and nobody has looked yet: the tasks are followed on."""
    ids = [world.accepted(external_id) for external_id in "123"]
    world.pause()
    world.clock.forward(26 * 3600)
    world.resume()
    world.looked(look)
    found = [world.task(task_id) for task_id in ids]
    assert {(task.status, task.errors, task.next) for task in found} == {(Status.RETRYING, 0, Operation.CHECK)}
    assert all(task.due_at is not None and task.due_at - world.clock.now <= timedelta(seconds=30) for task in found)


def test_a_rule_of_a_deleted_review_is_held_and_not_checked_for_ever(world: World) -> None:
    """Its look must precede its retry and is never readable; its neighbour is checked as usual."""
    strange = world.add("31", "reviews", sub_id="9")
    assert world.claim("reviews").batch is None  # to be checked first
    results, started = 0, world.clock.now
    while (due_at := world.task(strange).due_at) is not None:
        world.clock.forward((due_at - world.clock.now).total_seconds())
        world.looked(DELETED, "reviews")
        results += 1
    task = world.task(strange)
    assert (task.status, task.held_from, task.attempts, task.last_error) == (
        Status.HELD, Status.FAILED, 0, DELETED.message,
    )  # fmt: skip
    assert (results, world.clock.now - started < timedelta(days=1)) == (20, True)
    neighbour = world.add("32", "reviews", sub_id="9")
    assert world.claim("reviews").batch is None
    world.looked(Reading(state=State.FAILED), "reviews")
    assert world.task(neighbour).next is Operation.RETRY
    world.act("release", strange)
    assert world.task(strange).next is Operation.CHECK


@pytest.mark.parametrize("ref", ["run-7", "00000000aaaabbbbccccddddeeee0001"])
def test_checks_follow_the_run_that_a_doubtful_answer_names(world: World, ref: str) -> None:
    """It may be the run of this very retry."""
    task_id = world.add("1", "desktops")
    world.retried(Unknown(message="HTTP 202", answered=True, ref=ref), "desktops")
    task = world.task(task_id)
    assert (task.status, task.provider_ref, task.spent) == (Status.UNKNOWN, ref, 1)


@pytest.mark.parametrize(
    "stored", [{"at": "yesterday"}, {"state": None, "number": "x"}, {"by": "another release"}, {"mark": ["x"]}]
)
def test_a_memory_that_nobody_can_read_stops_nobody(world: World, stored: dict[str, Any]) -> None:
    """A host wrote it: its task and the others of the account are retried."""
    strange, other = world.add("1"), world.add("2")
    world.put(strange, seen=stored)
    assert {task.id for task in world.begun().tasks} == {strange, other}


@pytest.mark.parametrize(("account", "kind"), [("desktops", ""), ("reviews", "review"), ("phones", "task")])
def test_a_task_of_an_unknown_kind_is_never_sent(world: World, account: str, kind: str) -> None:
    """Its row came by SQL; the next one of the account is claimed."""
    strange, other = world.add("1", account), world.add("2", account)
    world.put(strange, kind=kind)
    assert {task.id for task in world.begun(account).tasks} == {other}
    task = world.task(strange)
    assert (task.status, task.attempts) == (Status.FAILED, 0)
    assert f"kind {kind!r}: is not a kind of" in task.last_error
    assert world.claim(account).examined == 0
