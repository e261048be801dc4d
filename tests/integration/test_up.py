"""``redrive up`` with real parts: what it says, what it keeps alive, and that nothing is left of it."""

import fcntl
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis
from sqlalchemy import inspect

from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from tests.support.installation import Installation
from tests.support.processes import Process, descendants, runs, wait_until
from tests.support.schemas import make_schema

ENDS_WITHIN_SECONDS = 15


@pytest.fixture
def installation(spawn: Callable[..., Process], tmp_path: Path) -> Installation:
    return Installation(spawn, tmp_path)


def the(part: str, up: Process) -> int:
    """The process of a part."""
    sign = "valkey-server" if part == "broker" else f"-m redrive {part}"
    (pid,) = (pid for pid, args in descendants(up.pid).items() if sign in args)
    return pid


def test_says_what_it_will_do_and_ctrl_c_ends_it_all(installation: Installation) -> None:
    up = installation.up()
    told = up.output()
    assert re.search(r"^database +sqlite:///.*/home/redrive.db, schema brought to \d+$", told, re.MULTILINE)
    assert re.search(r"^broker +redis://:\*\*\*@127.0.0.1:\d+/0, embedded$", told, re.MULTILINE)
    assert "phones: geelark at 127.0.0.1:9, 180 calls a minute, 20000 an hour; due now: 0 to retry" in told
    assert told.index("reviews: docflow") < told.index("worker.started")
    parts = descendants(up.pid)
    assert len(parts) == 5  # broker, worker, scheduler, Flower, and what would clear up behind us
    up.signal(signal.SIGINT)
    assert up.wait(ENDS_WITHIN_SECONDS) == 0
    assert not any(runs(pid) for pid in parts)
    assert not (installation.home / "broker.url").exists()
    again = installation.up()
    assert "schema up to date" in again.output()


def test_secrets_are_in_no_arguments_and_no_readable_file(installation: Installation) -> None:
    up = installation.up()
    password = (installation.home / "flower.auth").read_text().strip().partition(":")[2]
    secrets = {password, *re.findall(r":(\S+)@", installation.broker_url()), "sandbox-token", "SANDBOXSK"}
    assert len(secrets) == 4
    assert not [args for args in descendants(up.pid).values() if any(secret in args for secret in secrets)]
    assert stat.S_IMODE(installation.home.stat().st_mode) == 0o700
    for name in ("broker.url", "flower.auth", "valkey/valkey.conf"):
        assert stat.S_IMODE((installation.home / name).stat().st_mode) == 0o600
    assert up.output().count(password) == 1  # shown when it was made, and never again


@pytest.mark.parametrize("part", ["worker", "broker"])
def test_a_part_that_is_killed_is_started_again(installation: Installation, part: str) -> None:
    """The worker by its supervisor; a new broker has the old one's address, so that the others find it."""
    up = installation.up("--no-flower")
    os.kill(the(part, up), signal.SIGKILL)
    up.wait_ready(rf"^{part} +\| was killed by SIGKILL; starting it again in 1 s$")
    if part == "worker":
        wait_until(lambda: up.output().count("worker.started") == 2, 20, what="another worker")
    else:
        host, _, port = installation.broker_url().rpartition("@")[2].removesuffix("/0").partition(":")
        wait_until(lambda: answers(host, int(port)), 20, what="another broker")


def answers(host: str, port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((host, port)) == 0


def test_two_in_one_home_are_refused(installation: Installation) -> None:
    first = installation.up("--no-flower")
    second = installation.start("up", "--no-flower")
    assert second.wait() == 2
    assert f"another redrive (process {first.pid}) runs in {installation.home}" in second.output()
    assert first.returncode is None
    assert (installation.home / "broker.url").exists()


def test_nothing_is_left_of_one_that_was_killed(installation: Installation) -> None:
    """SIGKILL: nobody could clear up, and still its parts end and the next one starts, at once."""
    killed = installation.up()
    parts = descendants(killed.pid)
    killed.signal(signal.SIGKILL)
    killed.wait()
    following = installation.up()
    wait_until(lambda: not any(runs(pid) for pid in parts), what="nothing left")
    assert "starting it again" not in following.output()


def test_with_database_and_broker_named_it_starts_neither(
    installation: Installation, database_url: str, broker: str
) -> None:
    up = installation.up("--no-flower", REDRIVE_DATABASE_URL=database_url, REDRIVE_BROKER_URL=broker)
    assert f"broker    {broker}\n" in up.output()
    assert {args.split()[-1] for args in descendants(up.pid).values()} >= {"worker", "scheduler"}
    assert len(descendants(up.pid)) == 3
    assert not (installation.home / "broker.url").exists()
    assert not (installation.home / "redrive.db").exists()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """One without a table."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/orders.db"
        return
    with request.getfixturevalue("postgres_databases").new() as url:
        yield url


def test_a_configured_database_is_not_migrated_unasked(installation: Installation, empty_database: str) -> None:
    """It says what to type, starts nothing, and leaves the database as it was."""
    url = empty_database
    up = installation.start("up", "--no-flower", REDRIVE_DATABASE_URL=url)
    assert up.wait() == 2
    assert "the database has no Redrive tables yet" in up.output()
    assert "run `redrive migrate`" in up.output()
    assert "worker" not in up.output()
    with closing(Database(url)) as database, database.reading() as t:
        assert not inspect(t.connection).get_table_names()


def test_a_configured_database_of_the_release_before_stays_as_it_is(
    installation: Installation, empty_database: str
) -> None:
    """It works on the older schema, and says what would bring it up; so does doctor."""
    url = empty_database
    make_schema(url, "0001")
    up = installation.up("--no-flower", REDRIVE_DATABASE_URL=url)
    assert re.search(r"^database .*, schema 0001, .*`redrive migrate` brings it to", up.output(), re.MULTILINE)
    with closing(Database(url)) as database:
        migrate.check(database)
        assert database.level == 1
    doctor = installation.start("doctor", REDRIVE_DATABASE_URL=url)
    assert doctor.wait() == 0
    assert re.search(r"^warning database: is at schema 0001, .*`redrive migrate` brings", doctor.output(), re.MULTILINE)


def test_what_is_missing_is_told_before_anything_starts(installation: Installation) -> None:
    del installation.env["GEELARK_TOKEN"]
    up = installation.start("up")
    assert up.wait() == 2
    assert "accounts.phones.token: environment variable GEELARK_TOKEN is not set" in up.output()
    assert "broker" not in up.output()


def test_flowers_address_may_be_taken(installation: Installation) -> None:
    host, _, port = installation.flower.partition(":")
    with socket.create_server((host, int(port))):
        up = installation.start("up")
        assert up.wait() == 1
    assert f"flower.address: {installation.flower} is taken; name another, or use --no-flower" in up.output()


@pytest.mark.parametrize("part", ["scheduler", "worker", "flower"])
def test_a_part_alone_needs_a_broker(installation: Installation, part: str) -> None:
    process = installation.start(part)
    assert process.wait() == 2
    assert "REDRIVE_BROKER_URL: is not set; set it, or start `redrive up`" in process.output()


def test_only_the_worker_gets_the_providers_secrets(installation: Installation) -> None:
    """Flower, which listens, does not even get the database's address."""
    named = {"REDRIVE_DATABASE_URL": f"sqlite:///{installation.home.parent}/x.db"}
    assert installation.start("migrate", **named).wait() == 0
    up = installation.up(**named, PGPASSWORD="hunter2")
    seen = {part: Path(f"/proc/{the(part, up)}/environ").read_bytes() for part in ("worker", "scheduler", "flower")}
    assert b"sandbox-token" in seen["worker"]
    for secret in (b"sandbox-token", b"SANDBOXSK"):
        assert secret not in seen["scheduler"] + seen["flower"]
    assert b"DATABASE_URL" in seen["scheduler"]
    assert b"DATABASE_URL" not in seen["flower"]
    assert b"hunter2" not in seen["flower"]


def test_work_goes_on_though_nobody_reads_the_terminal(installation: Installation) -> None:
    """Its output is a pipe that is full: the parts go on, and SIGTERM ends all in time."""
    command = [sys.executable, "-P", "-m", "redrive", "up", "--no-flower"]
    environment = {**os.environ, **installation.env, "REDRIVE_LOG_LEVEL": "debug"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as up:
        assert up.stdout is not None
        fcntl.fcntl(up.stdout, fcntl.F_SETPIPE_SZ, 4096)
        wait_until((installation.home / "broker.url").exists, 20, what="the broker")
        port = int(installation.broker_url().rpartition(":")[2].removesuffix("/0"))
        wait_until(lambda: answers("127.0.0.1", port), 20, what="the broker")
        with redis.Redis.from_url(installation.broker_url()) as client:
            wait_until(lambda: client.pubsub_numsub("redrive.wake")[0][1], 30, what="the scheduler listens")
            for _ in range(3000):
                client.lpush("redrive.requests", "x")
            wait_until(lambda: client.llen("redrive.requests") == 0, 30, what="the worker goes on taking messages")
        up.send_signal(signal.SIGTERM)
        assert up.wait(ENDS_WITHIN_SECONDS) == 0
