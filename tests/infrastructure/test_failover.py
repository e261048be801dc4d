"""PostgreSQL with a streaming replica: another server takes over in the middle of the work, or takes no writes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.conftest import migrate
from tests.support.crash_world import CrashWorld
from tests.support.processes import Janitor, Process, wait_until
from tests.support.servers import Postgres

RETRIES = 2000
NAME = "redrive"
REFUSED = "takes no writes at the moment"


class Replica(Postgres):
    """A copy of another server, which follows it."""

    def __init__(self, janitor: Janitor, primary: Postgres) -> None:
        self._primary = primary
        super().__init__(janitor)

    def _initialize(self) -> None:
        where = ["-h", self._primary.directory, "-U", "postgres", "-D", self.directory / "data"]
        command: list[str | Path] = [self._binaries / "pg_basebackup", *where, "-R", "-X", "stream", "-c", "fast"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, **self._identity)
        assert done.returncode == 0, done.stderr


def say(server: Postgres, *statements: str, dbname: str = "postgres") -> Any:
    """What an administrator says to this server; the last answer."""
    where = {"host": str(server.directory), "user": "postgres", "dbname": dbname}
    options = "-cdefault_transaction_read_only=off"
    with psycopg.connect(**where, options=options, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)  # type: ignore[call-overload]  # psycopg wants literals
        return cursor.fetchone() if cursor.description else None


@pytest.fixture
def primary(new_postgres_server: Callable[..., Postgres]) -> Iterator[Postgres]:
    with closing(new_postgres_server()) as server:
        say(server, f"CREATE DATABASE {NAME}")
        migrate(url_of(server))
        yield server


@pytest.fixture
def replica(primary: Postgres, janitor: Janitor) -> Iterator[Postgres]:
    """Nothing is committed on the primary that it does not have."""
    with closing(Replica(janitor, primary)) as server:
        say(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        state = "SELECT sync_state FROM pg_stat_replication"
        wait_until(lambda: say(primary, state) == ("sync",), 30, what="the replica is a synchronous one")
        yield server


def url_of(*servers: Postgres) -> str:
    """The address of our database on the first of these servers that takes writes."""
    hosts = ",".join(str(server.directory) for server in servers)
    url = make_url(servers[0].url).set(database=NAME).update_query_dict({"host": hosts})
    return url.render_as_string(hide_password=False)


NewWorld = Callable[..., CrashWorld]


@pytest.fixture
def new_world(spawn: Callable[..., Process], broker: str, tmp_path: Path) -> Iterator[NewWorld]:
    """An installation on these servers, with work and calls enough."""
    made: list[CrashWorld] = []

    def new(*servers: Postgres) -> CrashWorld:
        world = CrashWorld(spawn, url_of(*servers), broker, tmp_path)
        made.append(world)
        world.start_sandbox(batch_size=20, calls_per_minute=3000, calls_per_hour=180_000)
        return world

    yield new
    for world in made:
        world.close()


def test_a_replica_takes_over_during_two_thousand_retries(
    new_world: NewWorld, primary: Postgres, replica: Postgres
) -> None:
    """The primary dies, the replica is promoted; the same processes go on, and no record is lost."""
    world = new_world(primary, replica)
    running = [world.start(part) for part in ("scheduler", "scheduler", "worker", "worker")]
    world.add(world.rows(RETRIES, accounts=["phones"]))
    world.wait_for_attempts(RETRIES // 10)
    primary.kill()
    with pytest.raises(psycopg.OperationalError):
        say(primary, "SELECT 1")
    say(replica, "SELECT pg_promote()")
    assert world.count_attempts() < RETRIES, "there was nothing left to do"
    world.assert_sound(*running, timeout_seconds=200)
    assert world.count_attempts() >= RETRIES


def test_no_writes_for_seconds(new_world: NewWorld, primary: Postgres) -> None:
    """What managed servers do when their disk is full: work stands still, nobody ends, and it goes on by itself."""
    world = new_world(primary)
    running = [world.start(part) for part in ("scheduler", "worker")]
    for turn in range(2):
        world.add(world.rows(200, first=200 * turn, accounts=["phones", "reviews"]))
        world.wait_for_attempts(20)
        said = [process.output().count(REFUSED) for process in running]
        say(primary, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
        for process, before in zip(running, said, strict=True):
            wait_until(lambda: process.output().count(REFUSED) > before, 30, what="each process says so")  # noqa: B023 - at once
        say(primary, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    world.assert_sound(*running, timeout_seconds=120)


def test_a_replica_alone_is_refused_in_words(
    spawn: Callable[..., Process], replica: Postgres, new_world: NewWorld
) -> None:
    """By who would write; its status may be asked for."""
    world = new_world(replica)

    def run(command: str, ready: str | None = None) -> Process:
        return spawn([sys.executable, "-P", "-m", "redrive", command], world.env, ready=ready)

    said = "takes no writes at the moment; it is a replica"
    scheduler = run("scheduler", ready=said)
    status, doctor = run("status"), run("doctor")
    assert status.wait(60) == 0, status.output()
    assert doctor.wait(60) == 1, doctor.output()
    assert said in doctor.output()
    assert "Traceback" not in doctor.output()
    assert scheduler.returncode is None
