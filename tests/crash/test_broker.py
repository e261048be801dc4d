"""The broker forgets, dies and freezes while work is under way: nothing is lost, and nobody needs a restart."""

import signal
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from redrive.models import jobs
from tests.support.crash_world import PROVIDERS, TIMEOUT, CrashWorld
from tests.support.long import LONG
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey

pytestmark = pytest.mark.timeout(TIMEOUT)

FROZEN_SECONDS = 20 if LONG else 4
MORE = 2 if LONG else 0
LEASE_SECONDS = 4.0
"""Less than the five seconds after which a message that was lost is sent again."""


@pytest.fixture
def world(spawn: Callable[..., Process], database_url: str, valkey: Valkey, tmp_path: Path) -> Iterator[CrashWorld]:
    world = CrashWorld(spawn, database_url, valkey.url, tmp_path)
    yield world
    world.close()


@pytest.mark.parametrize("database_url", ["postgresql", "sqlite"] if LONG else ["postgresql"], indirect=True)
def test_a_broker_that_forgets_dies_and_freezes(world: CrashWorld, valkey: Valkey) -> None:
    """FLUSHALL, SIGKILL without persistence and a freeze, each while batches are on their way."""
    world.start_sandbox(batch_size=5, lease_seconds=LEASE_SECONDS)
    world.add(world.rows(5))
    scheduler = world.start("scheduler")
    wait_until(lambda: world.queued_messages() == len(PROVIDERS))
    flush(valkey)
    worker = world.start("worker")
    for number, outage in enumerate((die, freeze, *(die, flush, freeze) * MORE), start=1):
        world.add(world.rows(5, first=5 * number))
        world.wait_for_attempts()
        outage(valkey)
    world.assert_sound(scheduler, worker)
    wait_until(lambda: world.queued_messages() == 0, what="no message is left")
    assert_waiting_cost_no_lease(world)


def assert_waiting_cost_no_lease(world: CrashWorld) -> None:
    """A batch may wait for its message for longer than a lease: nobody takes it away, and its lease is still whole."""
    waited = [
        batch
        for batch in world.batches().values()
        if batch["begun_at"] - batch["created_at"] > timedelta(seconds=LEASE_SECONDS)
    ]
    assert {batch["account"] for batch in waited} == {*PROVIDERS}
    for batch in waited:
        whole = timedelta(seconds=LEASE_SECONDS)
        assert batch["status"] == "done" or batch["ended_at"] - batch["begun_at"] >= whole, batch
    assert {batch["id"] for batch in waited} & {each["batch_id"] for each in world.attempts()}


def flush(valkey: Valkey) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()


def die(valkey: Valkey) -> None:
    valkey.kill()
    valkey.start()


def freeze(valkey: Valkey) -> None:
    valkey.process.signal(signal.SIGSTOP)
    with redis.Redis.from_url(valkey.url, socket_timeout=FROZEN_SECONDS) as client, pytest.raises(redis.TimeoutError):
        client.llen(jobs.REQUESTS_QUEUE)
    valkey.process.signal(signal.SIGCONT)
