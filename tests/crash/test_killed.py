"""SIGKILL at every point at which something is half done: what it was about is taken up again, exactly."""

import json
import re
from typing import Any

import pytest
import redis

from tests.support.crash_world import TIMEOUT, CrashWorld
from tests.support.dying import SCHEDULER, WORKER
from tests.support.long import LONG
from tests.support.processes import Process

pytestmark = pytest.mark.timeout(TIMEOUT)

ROUNDS = 4 if LONG else 1

UNTOUCHED = {"begun", "opening"}
"""The points at which nothing is committed: the batch is as if nobody had taken it, and is published again."""
IN_DOUBT = {"opened", "waiting", "sent", "answered", "unrecorded", "recording"}
"""The points at which attempts are open: all of them are spent, whether or not they were sent."""


def struck(process: Process) -> list[tuple[str, str]]:
    """The points a process was struck at, and the batch each time."""
    return re.findall(r"^struck at (\w+) batch=(\S+)", process.output(), re.MULTILINE)


def assert_taken_up(point: str, batch: dict[str, Any] | None, outcomes: list[str]) -> None:
    """What must have become of the batch that a process was struck over."""
    if point == "claimed":
        assert batch is None
        return
    assert batch is not None, point
    if point == "committed":
        assert batch["publishes"] > 1
    elif point in UNTOUCHED:
        assert batch["publishes"] > 1, point
        assert "unknown" not in outcomes, point
    elif point in IN_DOUBT:
        assert batch["status"] == "lost", point
        assert "unknown" in outcomes, point
    elif point == "recorded":
        assert batch["status"] == "done"
        assert "unknown" not in outcomes
        assert len(outcomes) == batch["size"]


def test_killed_at_every_point(world: CrashWorld) -> None:
    """Scheduler and worker die at each point in turn, over work of three providers, and start again at once.

    In the short version each database has every other point of the worker.
    """
    points = [*WORKER] * ROUNDS if LONG else [*WORKER][world.database.engine.name == "sqlite" :: 2]
    world.start_sandbox(batch_size=3, max_in_flight=6)
    world.add(world.rows(18 * ROUNDS if LONG else 12))
    scheduler = world.start_struck("scheduler", *SCHEDULER)
    worker = world.start_struck("worker", *points)
    for process in (scheduler, worker):
        process.wait_ready("^struck no more$", 60 * ROUNDS)
    assert deliver_again(world) or "recorded" not in points
    world.assert_sound(scheduler, worker)
    batches, attempts = world.batches(), world.attempts()
    told = struck(scheduler) + struck(worker)
    assert {point for point, _ in told} == {*SCHEDULER, *points}
    for point, batch in told:
        outcomes = [each["outcome"] for each in attempts if str(each["batch_id"]) == batch]
        assert_taken_up(point, batches.get(batch), outcomes)


def deliver_again(world: CrashWorld) -> int:
    """What the broker does by itself after an hour with messages that were taken and never confirmed; their number."""
    with redis.Redis.from_url(world.urls["REDRIVE_BROKER_URL"]) as client:
        taken = [json.loads(each) for each in client.hvals("unacked")]
        for message, _, queue in taken:
            client.rpush(queue, json.dumps(message))
    return len(taken)
