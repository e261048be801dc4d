"""Anybody who can write to the broker sends anything: nothing ends, nothing is retried that should not be."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from sqlalchemy import update

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.ledger import Who
from redrive.models.sql.tables import tasks
from redrive.models.states import Status
from redrive.sandbox.samples import sample_rows
from redrive.sandbox.script import Script, make_id
from tests.support import forged
from tests.support.long import long
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey

pytestmark = [pytest.mark.timeout(180), pytest.mark.services]

FAR = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def ours(
    spawn: Callable[..., Process], new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Iterator[ProcessWorld]:
    world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path)
    world.start_sandbox()
    yield world
    world.close()


def push(client: redis.Redis, queue: str, *messages: object) -> None:
    for message in messages:
        client.lpush(queue, message if isinstance(message, bytes) else json.dumps(message))


def test_forged_messages_during_work_end_nothing_and_move_nothing(ours: ProcessWorld, valkey: Valkey) -> None:
    """Every kind of malformed message and order, among good ones: all tasks end as they should, held ones stay."""
    held, later = ours.add(sample_rows(3, seed=9))[:2]
    rest(ours, held, later)
    worker = ours.start("worker")
    queue = ours.settings.queues.of("geelark")
    with redis.Redis.from_url(valkey.url) as client:
        strange = [*forged.raw(), *forged.envelopes(queue)]
        assert len(strange) > 250
        push(client, queue, *strange)
        push(client, ours.settings.queues.requests, *strange)
        for command in forged.control():
            content = forged.encoded(command)
            client.publish("/0.celery.pidbox", json.dumps(forged.envelope(None, content, "")))
        for message in strange[:120]:
            client.publish("/0.celery.pidbox", message if isinstance(message, bytes) else json.dumps(message))
        wish = forged.envelope("redrive.request", forged.body([held], who="operator@desk"), "")
        push(client, ours.settings.queues.requests, wish)
        ours.start("scheduler")
        ours.add(sample_rows(4, seed=8))
        wait_until(
            lambda: worker.returncode is not None or all_ended(ours, {held, later}), 90, what="the others have ended"
        )
        wait_until(lambda: not client.llen(queue) and not client.hlen("unacked"), 30, what="all was taken")
    assert worker.returncode is None
    kept = {task.id: (task.status, task.attempts) for task in ours.tasks([held, later])}
    assert kept == {held: (Status.HELD, 0), later: (Status.FAILED, 0)}
    log = worker.output()
    assert "Traceback" not in log
    assert 3 <= log.count("message.dropped") <= 60  # each kind once, and not each message
    assert "forged" not in log
    assert ours.sandbox("stats")["violations"] == {}


def rest(world: ProcessWorld, held: int, later: int) -> None:
    """One task that an operator holds, one that is due when nobody lives any more."""
    with world.database.transaction() as t:
        ledger.act(t, "hold", [held], world.rules, Who("operator"))
        t.execute(update(tasks).where(tasks.c.id == later).values(due_at=FAR))


def all_ended(world: ProcessWorld, but: set[int]) -> bool:
    return all(task.status in {Status.SUCCEEDED, Status.DEAD} for task in world.tasks() if task.id not in but)


@pytest.mark.parametrize("kind", [long("one byte"), long("no id"), "deep", "unconfirmed"])
def test_one_bad_message_costs_nothing(ours: ProcessWorld, valkey: Valkey, kind: str) -> None:
    """The worker takes the next message at once; what lies among the unconfirmed ones is no better."""
    worker = ours.start("worker")
    queue = ours.settings.queues.of("geelark")
    bad: Any = {"one byte": b"x", "deep": b"[" * 100_000}.get(
        kind, forged.envelope("redrive.retry", forged.body(), queue)
    )
    if kind == "no id":
        del bad["headers"]["id"]
    with redis.Redis.from_url(valkey.url) as client:
        if kind == "unconfirmed":
            client.hset("unacked", "tag", "{")
            client.zadd("unacked_index", {"tag": 1})
        push(client, queue, bad)
        began = boottime()
        wait_until(lambda: "message.dropped" in worker.output(), 10)
        assert boottime() - began < 5
    [task_id] = ours.add(sample_rows(1, seed=4)[:1])
    ours.start("scheduler")
    wait_until(lambda: ours.tasks([task_id])[0].attempts, 20)
    assert worker.returncode is None
    assert "broker.lost" not in worker.output()


def test_orders_of_celerys_change_nothing(ours: ProcessWorld, valkey: Valkey) -> None:
    """A batch that was revoked, a job that was limited, a queue that was left, a shutdown: all is done at once."""
    ours.add([{"account": "phones", "external_id": make_id("geelark", 1, Script())}])
    scheduler = ours._spawn([sys.executable, "-P", "-m", "redrive", "scheduler", "--once"], ours.env)
    assert scheduler.wait(30) == 0
    queue = ours.settings.queues.of("geelark")
    with redis.Redis.from_url(valkey.url) as client, Celery("orders", broker=valkey.url, set_as_current=False) as app:
        (waiting,) = client.lrange(queue, 0, -1)
        batch_id = json.loads(waiting)["headers"]["id"]
        client.rename(queue, "aside")  # until the orders were given
        worker = ours.start("worker")
        app.control.revoke(batch_id)
        app.control.rate_limit("redrive.retry", "1/h")
        app.control.cancel_consumer(queue)
        app.control.pool_shrink(63)
        app.control.shutdown()
        answers = app.control.time_limit("redrive.retry", soft=1, reply=True, timeout=2)
        assert [each["error"] for answer in answers for each in answer.values()] == [
            "Redrive's workers do not offer this"
        ]
        assert app.control.ping(timeout=2)
        client.rename("aside", queue)
        wait_until(lambda: "batch.done" in worker.output(), 10, what="the batch is done")
    assert worker.returncode is None
    assert ours.tasks()[0].attempts == 1
