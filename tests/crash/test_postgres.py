"""PostgreSQL goes away while work is under way: by a restart, by a crash, by a cut line right after COMMIT."""

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.conftest import migrate
from tests.crash.proxy import Fate, Proxy
from tests.support.crash_world import TIMEOUT, CrashWorld
from tests.support.long import LONG
from tests.support.processes import Process
from tests.support.servers import Databases, Postgres

pytestmark = [pytest.mark.timeout(TIMEOUT), pytest.mark.services]

ROUNDS = 6 if LONG else 1

COMMITS = {
    "claim": "INSERT INTO redrive_batches",
    "begin": "UPDATE redrive_batches SET .{0,200}begun_at=",
    "opening": "INSERT INTO redrive_attempts",
    "record": "UPDATE redrive_attempts",
}
"""The transactions of a batch's life, each by words that no other one holds."""


@pytest.fixture
def postgres(new_postgres_server: Callable[..., Postgres]) -> Iterator[Postgres]:
    """A PostgreSQL of the test's own, to be mistreated.

    Its processes end here, never the machine: what it has written survives without fsync, and it is back sooner.
    """
    with closing(new_postgres_server()) as server:
        yield server


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    with Databases(postgres.url).new() as url:
        migrate(url)
        yield url


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    with closing(Proxy(postgres.directory / ".s.PGSQL.5432")) as proxy:
        yield proxy


@pytest.fixture
def world(spawn: Callable[..., Process], url: str, proxy: Proxy, broker: str, tmp_path: Path) -> Iterator[CrashWorld]:
    """Its processes reach the database through the proxy, the test itself does not."""
    world = CrashWorld(spawn, url, broker, tmp_path)
    through = make_url(url).set(host="127.0.0.1", port=proxy.port, query={})
    world.urls["REDRIVE_DATABASE_URL"] = through.render_as_string(hide_password=False)
    yield world
    world.close()


def test_cut_off_with_a_commit_under_way(world: CrashWorld, proxy: Proxy) -> None:
    """Nobody learns whether it was committed; what follows is right in both cases.

    No answer is lost by it, and no attempt spent: what came back is recorded again, and what may be open is not sent.
    """
    world.start_sandbox(batch_size=3, timeout_seconds=2, lease_seconds=5.1)
    scheduler, worker = world.start("scheduler"), world.start("worker")
    fates: tuple[Fate, Fate] = ("done", "lost")
    for number, ((name, words), fate) in enumerate(list(product(COMMITS.items(), fates)) * ROUNDS):
        cut = proxy.cut(words, fate)
        world.add(world.rows(3, first=3 * number))
        assert cut.happened.wait(30), f"no {name} was cut"
    world.assert_sound(scheduler, worker)
    assert {each["outcome"] for each in world.attempts()} == {"accepted", "unsent"}
    for process in (scheduler, worker):
        assert "server closed the connection unexpectedly" in process.output()


def test_restarted_and_crashed_while_work_runs(world: CrashWorld, postgres: Postgres) -> None:
    """Stopped fast (SIGINT) and at once (SIGQUIT), in turn: scheduler and worker wait for it by themselves."""
    world.start_sandbox(batch_size=4)
    scheduler, worker = world.start("scheduler"), world.start("worker")
    for number in range(3 * ROUNDS):
        world.add(world.rows(6, first=6 * number))
        world.wait_for_attempts()
        postgres.process.signal((signal.SIGQUIT, signal.SIGINT)[number % 2])
        postgres.process.wait()
        postgres.start()
    world.assert_sound(scheduler, worker)
    assert "database.unreachable" in scheduler.output() + worker.output()
