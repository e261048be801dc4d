"""PgBouncer before PostgreSQL: in each mode Redrive works with it, or says what to change."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from redrive.models.errors import Unsuitable
from redrive.models.sql import migrate, postgresql
from redrive.models.sql.db import Database
from redrive.models.states import ENDED_STATES
from redrive.sandbox.samples import sample_rows
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Databases, Postgres, free_port

Spawn = Callable[..., Process]
Pooler = Callable[..., str]


@pytest.fixture(scope="module")
def postgres(new_postgres_server: Callable[..., Postgres]) -> Iterator[Postgres]:
    """Its defaults are not ours: only what Redrive sets itself makes it right."""
    with closing(new_postgres_server()) as server:
        for setting in (
            "synchronous_commit = off",
            "datestyle = 'German'",
            "default_transaction_isolation = serializable",
        ):
            alter(server.url, f"ALTER ROLE postgres SET {setting}")
        yield server


def alter(url: str, statement: str) -> None:
    with closing(Database(url)) as database, database.transaction() as t:
        t.execute(text(statement))


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    with Databases(postgres.url).new() as url:
        yield url


@pytest.fixture
def pooler(program: Callable[[str, str], Path], spawn: Spawn, postgres: Postgres, url: str, tmp_path: Path) -> Pooler:
    """Start PgBouncer with its defaults but for the mode; returns the database's address through it."""
    found = program("pgbouncer", "pgbouncer")

    def start(mode: str) -> str:
        port, ini = free_port(), tmp_path / f"{mode}.ini"
        ini.write_text(
            f"[databases]\n* = host={postgres.directory} user=postgres\n[pgbouncer]\npool_mode = {mode}\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        )
        as_nobody = ["-u", "nobody"] if os.geteuid() == 0 else []
        spawn([found, *as_nobody, ini], ready="process up")
        return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{make_url(url).database}"

    return start


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_all_work_is_done_through_it(pooler: Pooler, spawn: Spawn, broker: str, tmp_path: Path, mode: str) -> None:
    """Two schedulers and two workers, which share a few sessions where transactions are pooled."""
    address = pooler(mode)
    assert migrate.upgrade(f"{address}?schema=retries") == (None, migrate.HEAD)
    world = ProcessWorld(spawn, f"{address}?schema=retries", broker, tmp_path)
    world.start_sandbox()
    running = [world.start(part) for part in ("scheduler", "scheduler", "worker", "worker")]
    world.add(sample_rows(30, seed=1))
    wait_until(lambda: all(task.status in ENDED_STATES for task in world.tasks()), 150, what="every task has ended")
    assert world.differences() == []
    assert world.sandbox("stats")["violations"] == {}
    assert [process.returncode for process in running] == [None] * 4
    assert "prepared statement" not in "".join(process.output() for process in running)
    told = spawn([sys.executable, "-P", "-m", "redrive", "doctor"], world.env)
    assert told.wait(40) == 0, told.output()
    assert "takes writes, through a pooler" in told.output()
    world.close()


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_what_redrive_needs_holds_behind_it(pooler: Pooler, mode: str) -> None:
    with closing(Database(pooler(mode))) as database:
        for _ in range(8):
            with database.transaction() as t:
                names = ("synchronous_commit", "datestyle", "transaction_isolation", "lock_timeout", "enable_seqscan")
                found = [t.execute(text(f"SHOW {name}")).scalar_one() for name in names]
            assert found == ["on", "ISO, YMD", "read committed", "5s", "off"]
        with database.reading() as t:
            assert postgresql.through_a_pooler(t.connection)


def test_pooled_statements_are_refused_with_the_remedy(pooler: Pooler) -> None:
    with closing(Database(pooler("statement"))) as database, pytest.raises(Unsuitable, match="pool_mode = transaction"):
        migrate.check(database)


@pytest.mark.parametrize("options", ["-csearch_path%3Dredrive", "-cstatement_timeout%3D9000", "--geqo%3Doff"])
def test_options_that_it_refuses_are_named(pooler: Pooler, options: str) -> None:
    said = r"options; remove it from the address .*\?schema=NAME"
    address = f"{pooler('session')}?options={options}"
    with closing(Database(address)) as database, pytest.raises(Unsuitable, match=said):
        migrate.check(database)
