"""The broker may be slow, frozen, emptied or killed: it costs seconds and no task, and wake-ups come back."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from redrive.models import jobs
from redrive.models.clock import boottime
from redrive.models.ledger import Batch
from redrive.models.states import Operation, Status
from redrive.models.wake import Waker
from redrive.sandbox.samples import sample_rows
from redrive.sandbox.script import Script, make_id
from redrive.scheduler.publish import PUBLISH_SECONDS, Publisher
from redrive.scheduler.wake import Wait
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey

QUEUES = jobs.Queues("tests")

pytestmark = [pytest.mark.timeout(150), pytest.mark.services]


@pytest.fixture
def ours(
    spawn: Callable[..., Process], new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Iterator[ProcessWorld]:
    world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path)
    world.start_sandbox()
    yield world
    world.close()


def batch() -> Batch:
    return Batch(uuid4(), "phones", "geelark", Operation.RETRY, 1)


def phone(number: int) -> dict[str, str]:
    return {"account": "phones", "external_id": make_id("geelark", number, Script())}


def poll_slowly(world: ProcessWorld) -> None:
    path = world.directory / "redrive.toml"
    text = path.read_text()
    assert "poll_seconds = 0.2" in text
    path.write_text(text.replace("poll_seconds = 0.2", "poll_seconds = 30"))


def wake(broker_url: str) -> int:
    with redis.Redis.from_url(broker_url) as client:
        heard: int = client.publish(jobs.WAKE_CHANNEL, "")
    return heard


# --- Publishing ------------------------------------------------------------------------------------------------------


def test_a_frozen_broker_costs_a_bounded_time_once(valkey: Valkey) -> None:
    """One publish waits for a few seconds, the next for nothing; when the broker thaws, publishing works again."""
    with closing(Publisher(valkey.url, QUEUES)) as publisher, redis.Redis.from_url(valkey.url) as client:
        assert publisher.send(batch())
        valkey.process.signal(signal.SIGSTOP)
        began = boottime()
        assert not publisher.send(batch())
        assert boottime() - began < PUBLISH_SECONDS + 2
        began = boottime()
        assert publisher.silent
        assert not publisher.send(batch())
        assert boottime() - began < 0.5
        valkey.process.signal(signal.SIGCONT)
        sent = batch()
        wait_until(lambda: publisher.send(sent), 8, what="published again")
        waiting = client.lrange(QUEUES.of("geelark"), 0, -1)
        assert any(str(sent.id).encode() in message for message in waiting)


def test_a_frozen_broker_that_was_never_connected_to_costs_no_more(valkey: Valkey) -> None:
    """Connecting is bounded like publishing."""
    valkey.process.signal(signal.SIGSTOP)
    with closing(Publisher(valkey.url, QUEUES)) as publisher:
        began = boottime()
        assert not publisher.send(batch())
        assert boottime() - began < PUBLISH_SECONDS + 2


# --- Wake-ups --------------------------------------------------------------------------------------------------------


def test_a_wake_up_cuts_the_waiting_short(ours: ProcessWorld, valkey: Valkey) -> None:
    """With a poll of 30 s, each task is claimed long before it, at its wake-up; SIGTERM is heard as soon."""
    poll_slowly(ours)
    scheduler = ours.start("scheduler")
    for number in range(4):
        [task_id] = ours.add([phone(number)])
        assert wake(valkey.url) == 1
        wait_until(lambda task_id=task_id: ours.tasks([task_id])[0].status is Status.IN_FLIGHT, 10)  # type: ignore[misc]
    scheduler.signal(signal.SIGTERM)
    assert scheduler.wait(10) == 0


def test_a_scheduler_listens_again_after_its_broker_was_restarted(valkey: Valkey) -> None:
    """Having missed who knows what, it wakes once by itself; after that it hears wake-ups as before."""
    stop = threading.Event()
    with Wait(valkey.url, stop) as waiting:
        assert seconds_until_woken(waiting, lambda: (valkey.kill(), valkey.start())) < 8
        assert seconds_until_woken(waiting, lambda: wake(valkey.url)) < 1


def test_a_scheduler_that_started_before_its_broker_hears_it_later(valkey: Valkey) -> None:
    valkey.kill()
    with Wait(valkey.url, threading.Event()) as waiting:
        assert seconds_until_woken(waiting, valkey.start) < 8
        assert seconds_until_woken(waiting, lambda: wake(valkey.url)) < 1


def test_a_frozen_broker_does_not_keep_a_scheduler_from_stopping(valkey: Valkey) -> None:
    """Not even while it tries to listen."""
    valkey.process.signal(signal.SIGSTOP)
    stop = threading.Event()
    with Wait(valkey.url, stop) as waiting:
        assert seconds_until_woken(waiting, stop.set) < 2.5


def test_a_flood_of_wake_ups_starves_no_pass(ours: ProcessWorld, valkey: Valkey) -> None:
    """Tasks are claimed beside it, it is said, and SIGTERM is heeded within a second."""
    poll_slowly(ours)
    scheduler = ours.start("scheduler")
    flood = ours._spawn([sys.executable, "-c", FLOOD, str(valkey.port)], {})
    wait_until(lambda: "wake.flood" in scheduler.output(), 20, what="the flood is noticed")
    [task_id] = ours.add([phone(7)])
    wait_until(lambda: ours.tasks([task_id])[0].status is Status.IN_FLIGHT, 8, what="it is claimed beside the flood")
    scheduler.signal(signal.SIGTERM)
    assert scheduler.wait(3) == 0
    assert flood.returncode is None


FLOOD = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    import threading
    threading.Thread(target=lambda: [None for _ in iter(lambda: server.recv(1 << 20), b"")], daemon=True).start()
    many = b"*3\\r\\n$7\\r\\nPUBLISH\\r\\n$12\\r\\nredrive.wake\\r\\n$0\\r\\n\\r\\n" * 2000
    while True:
        server.sendall(many)
"""


def seconds_until_woken(waiting: Wait, cause: Callable[[], object]) -> float:
    """Wait for 20 s beside something that should cut it short."""
    began = threading.Event()
    seconds = 20.0

    def wait() -> None:
        nonlocal seconds
        began.set()
        start = boottime()
        waiting.wait(20)
        seconds = boottime() - start

    thread = threading.Thread(target=wait)
    thread.start()
    began.wait()
    cause()
    thread.join()
    return seconds


# --- The whole road --------------------------------------------------------------------------------------------------


def assert_all_ended_well(world: ProcessWorld) -> None:
    world.wait_for_the_end(90)
    assert world.differences() == []
    assert world.sandbox("stats")["violations"] == {}


def test_messages_that_were_lost_are_published_again(ours: ProcessWorld, valkey: Valkey) -> None:
    """FLUSHALL between publishing and work: each batch comes again, every task ends as its script says."""
    ours.add(sample_rows(6, seed=1))
    ours.start("scheduler")
    wait_until(lambda: any(task.status is Status.IN_FLIGHT for task in ours.tasks()))
    with redis.Redis.from_url(valkey.url) as client:
        wait_until(lambda: client.llen(ours.settings.queues.of("geelark")))
        client.flushall()
    ours.start("worker")
    assert_all_ended_well(ours)


def test_claims_go_on_while_the_broker_is_frozen(ours: ProcessWorld, valkey: Valkey) -> None:
    """Three accounts get their batches although not one can be published; thawed, all is worked on."""
    scheduler = ours.start("scheduler")
    ours.start("worker")
    valkey.process.signal(signal.SIGSTOP)
    rows = [
        {"account": account, "external_id": make_id(provider, 1, Script())}
        for account, provider in (("phones", "geelark"), ("desktops", "huawei_workspace"), ("reviews", "docflow"))
    ]
    ids = ours.add(rows)
    wait_until(lambda: all(task.status is Status.IN_FLIGHT for task in ours.tasks(ids)), 10)
    valkey.process.signal(signal.SIGCONT)
    assert_all_ended_well(ours)
    scheduler.signal(signal.SIGTERM)
    assert scheduler.wait(1) == 0


def test_a_broker_killed_with_all_its_data_costs_no_task(ours: ProcessWorld, valkey: Valkey) -> None:
    """Killed while batches are on their way, and started empty: worker and scheduler come back to it."""
    ours.add(sample_rows(6, seed=2))
    ours.start("scheduler")
    ours.start("worker")
    wait_until(lambda: any(task.attempts for task in ours.tasks()))
    valkey.kill()
    ours.add(phone(number) for number in range(100, 110))
    valkey.start()
    assert_all_ended_well(ours)


@pytest.mark.parametrize(
    "url", [None, "", "x", "redis://h/name", "redis+socket:///none.sock", "redis://127.0.0.1:1", "amqp://h//"]
)
def test_a_wake_up_is_never_worth_an_error(url: str | None) -> None:
    """What was asked for is committed by then."""
    waker = Waker(url)
    waker.wake()
    waker.close()
