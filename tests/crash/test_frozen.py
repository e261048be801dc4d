"""A worker that sleeps past its lease: its work goes on without it, and when it wakes it harms nothing."""

import os
import re
import signal
import time
from typing import Any

import pytest

from tests.support.crash_world import LIMITS, TIMEOUT, CrashWorld
from tests.support.long import LONG
from tests.support.processes import Process

pytestmark = pytest.mark.timeout(TIMEOUT)


def facts(world: CrashWorld) -> dict[str, Any]:
    """Everything that a late worker could spoil."""
    stats = world.sandbox("stats")
    return {
        "calls": stats["calls"],
        "retries": stats["retries"],
        "tasks": world.tasks(),
        "attempts": world.attempts(),
        "batches": world.batches(),
    }


def wake(process: Process) -> None:
    """SIGCONT for the life that put itself to sleep."""
    [pid] = re.findall(r"^struck at .* pid=(\d+)$", process.output(), re.MULTILINE)
    os.kill(int(pid), signal.SIGCONT)


CASES = [("sqlite", "waiting"), ("postgresql", "waiting"), ("postgresql", "sent"), ("sqlite", "sent")]


@pytest.mark.parametrize(("database_url", "point"), CASES if LONG else CASES[:1], indirect=["database_url"])
def test_frozen_past_its_lease(world: CrashWorld, point: str) -> None:
    """A worker sleeps between opening and recording: one call is out, and the next one may wait for its moment.

    The rescue takes everything back, and another worker finishes it. Awake again, the first gets nothing recorded any
    more, and what had not left does not leave.
    """
    world.start_sandbox("--latency-seconds", "0.6", calls_per_minute=65, batch_size=10)
    world.add(world.rows(4, accounts=["reviews"]))
    frozen = world.start_struck("worker", f"{point}:SIGSTOP")
    scheduler = world.start("scheduler")
    frozen.wait_ready(f"^struck at {point}")
    half = next(str(each["batch_id"]) for each in world.attempts() if each["closed_at"] is None)
    other = world.start("worker")
    world.wait_for_rest()
    rested = facts(world)
    assert rested["batches"][half]["status"] == "lost"
    wake(frozen)
    for event in ("batch.stale", "batch.done"):
        frozen.wait_ready(f'"{half}".*"{event}"')
    assert facts(world) == rested
    world.add(world.rows(1, first=5))
    world.assert_sound(frozen, other, scheduler)


@pytest.mark.long
def test_frozen_again_and_again(world: CrashWorld) -> None:
    """Two workers, frozen in turn at no chosen moment, each time past their lease."""
    world.start_sandbox("--latency-seconds", "0.2", batch_size=5)
    world.add(world.rows(20))
    scheduler, *workers = (world.start(part) for part in ("scheduler", "worker", "worker"))
    for number in range(6):
        world.add(world.rows(8, first=20 + 8 * number))
        world.wait_for_attempts(5)
        workers[number % 2].signal(signal.SIGSTOP)
        time.sleep(LIMITS["lease_seconds"] + 1)  # it may hold a lock, so that nothing else happens meanwhile
        workers[number % 2].signal(signal.SIGCONT)
    world.assert_sound(scheduler, *workers)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_frozen_inside_a_transaction(world: CrashWorld) -> None:
    """Who sleeps while it holds an account's lock loses it: the others go on, and so does it when it wakes.

    On SQLite whoever sleeps in a transaction stops everybody; nothing but waking or killing it helps.
    """
    world.start_sandbox(batch_size=3, max_in_flight=8)
    world.add(world.rows(12))
    scheduler = world.start_struck("scheduler", "claimed:SIGSTOP")
    worker = world.start_struck("worker", "recording:SIGSTOP")
    others = [world.start_struck("worker")]
    scheduler.wait_ready("^struck at claimed")
    others.append(world.start("scheduler"))
    worker.wait_ready("^struck at recording")
    world.wait_for_rest()
    for process in (scheduler, worker):
        wake(process)
    scheduler.wait_ready("database.unreachable")
    worker.wait_ready("batch.stale")
    world.add(world.rows(3, first=12))
    world.assert_sound(scheduler, worker, *others)
