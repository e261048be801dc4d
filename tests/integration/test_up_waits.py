"""``redrive up`` before its database and without room for its words: it waits, and works."""

import shlex
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from redrive.models.sql import migrate
from tests.support.installation import Installation
from tests.support.processes import Process, wait_until
from tests.support.servers import Postgres


@pytest.fixture
def installation(spawn: Callable[..., Process], tmp_path: Path) -> Installation:
    return Installation(spawn, tmp_path)


@pytest.fixture
def server(new_postgres_server: Callable[..., Postgres]) -> Iterator[Postgres]:
    with closing(new_postgres_server()) as found:
        migrate.upgrade(found.url)
        yield found


def at_work(output: str) -> bool:
    return "worker.started" in output and "scheduler.started" in output


def test_a_server_that_is_not_there_yet_is_waited_for(installation: Installation, server: Postgres) -> None:
    """As after a power cut, when the machines come up in any order."""
    server.kill()
    up = installation.start("up", "--no-flower", REDRIVE_DATABASE_URL=server.url)
    up.wait_ready(r"^database +postgresql.*; trying again in 2 s$")
    assert up.returncode is None
    server.start()
    up.wait_ready(lambda: at_work(up.output()))
    assert "Traceback" not in up.output()


def test_a_server_that_takes_no_writes_yet_is_waited_for(installation: Installation, server: Postgres) -> None:
    with psycopg.connect(host=str(server.directory), user="postgres", autocommit=True) as administrator:
        administrator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        administrator.execute("SELECT pg_reload_conf()")
        up = installation.start("up", "--no-flower", REDRIVE_DATABASE_URL=server.url)
        up.wait_ready("it takes no writes at the moment")
        administrator.execute("SET transaction_read_only = off")
        administrator.execute("SET default_transaction_read_only = off")
        administrator.execute("ALTER SYSTEM RESET default_transaction_read_only")
        administrator.execute("SELECT pg_reload_conf()")
    up.wait_ready(lambda: at_work(up.output()))
    assert up.returncode is None


def test_a_file_that_somebody_writes_to_keeps_nobody_from_starting(installation: Installation) -> None:
    """There is nothing to migrate, and so nothing to wait for but the work itself."""
    url = f"sqlite:///{installation.home}/redrive.db"
    installation.home.mkdir()
    migrate.upgrade(url)
    with closing(sqlite3.connect(str(make_url(url).database), isolation_level=None)) as host:
        host.execute("BEGIN IMMEDIATE")
        up = installation.start("up", "--no-flower")
        up.wait_ready("schema up to date")
        host.execute("ROLLBACK")
    up.wait_ready(lambda: at_work(up.output()))


def test_a_full_disk_for_its_words_keeps_nobody_from_working(
    installation: Installation, spawn: Callable[..., Process]
) -> None:
    """Nothing of what it says can be written, from its first line on."""
    command = f"exec {shlex.quote(sys.executable)} -P -m redrive up --no-flower > /dev/full"
    up = spawn(["sh", "-c", command], installation.env)
    database = installation.home / "redrive.db"
    wait_until(lambda: set(at_work_in(database)) == {"scheduler", "worker"}, 40, what="both parts say that they run")
    up.signal(signal.SIGTERM)
    assert up.wait(20) == 0, up.output()


def at_work_in(database: Path) -> list[str]:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as reader:
            return [role for (role,) in reader.execute("SELECT role FROM redrive_processes")]
    except sqlite3.OperationalError:  # not there yet
        return []
