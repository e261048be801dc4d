"""What kombu keeps in the broker beside the messages can be written by others, too."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from redrive.sandbox.samples import sample_rows
from tests.support.long import long
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey

pytestmark = [pytest.mark.timeout(180), pytest.mark.services]

EXCHANGES = ("celeryev", "celery.pidbox", "reply.celery.pidbox", "redrive.requests", "")
STRANGE = (
    b"x",
    b"",
    b"\xff\xfe",
    b"a\x06\x16b",
    b"\x06\x16" * 9,
    b"\x06\x16\x06\x16" + b"x" * 5000,
    b"(\x06\x16(\x06\x16(",
)


@pytest.fixture
def ours(
    spawn: Callable[..., Process], new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Iterator[ProcessWorld]:
    world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path)
    world.start_sandbox()
    yield world
    world.close()


@pytest.mark.parametrize("when", [long("before"), "while"])
def test_strange_bindings_end_nothing(ours: ProcessWorld, valkey: Valkey, when: str) -> None:
    """Where events and answers go is looked up in a set of Redis."""
    with redis.Redis.from_url(valkey.url) as client:
        if when == "while":
            running = [ours.start("worker"), ours.start("scheduler")]
        for exchange in EXCHANGES:
            client.sadd(f"_kombu.binding.{exchange}", *STRANGE)
        client.set("unacked_mutex", "forged")
        if when == "before":
            running = [ours.start("worker"), ours.start("scheduler")]
        ours.add(sample_rows(3, seed=3))
        wait_until(lambda: all(task.attempts for task in ours.tasks()), 60, what="every task was retried")
        checked = ours._spawn([sys.executable, "-P", "-m", "redrive", "worker", "--check"], ours.env)
        assert checked.wait(40) == 0, checked.output()
    assert [process.returncode for process in running] == [None, None]
    for process in running:
        assert "Traceback" not in process.output()
        assert "broker.lost" not in process.output()
