"""A worker as those see it who run it: its health, its pool, its stop, and neighbours on one broker."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis

from redrive import Client
from redrive.cli.broker import answer
from redrive.models import queries
from redrive.models.states import ENDED_STATES
from redrive.sandbox.samples import sample_rows
from tests.support.long import long
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey

pytestmark = [pytest.mark.timeout(150), pytest.mark.services]
Spawn = Callable[..., Process]


@pytest.fixture
def ours(
    spawn: Spawn, new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Iterator[ProcessWorld]:
    world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path)
    world.start_sandbox()
    yield world
    world.close()


def check(world: ProcessWorld, spawn: Spawn) -> tuple[int, str]:
    """What a health check finds."""
    asked = spawn([sys.executable, "-P", "-m", "redrive", "worker", "--check"], world.env)
    return asked.wait(40), asked.output()


def test_a_health_check_sees_whether_batches_are_taken(ours: ProcessWorld, spawn: Spawn) -> None:
    """No worker, and then two."""
    code, words = check(ours, spawn)
    assert code == 1
    assert "is one running on this machine?" in words
    for _ in range(2):
        ours.start("worker")
    assert check(ours, spawn) == (0, "The workers of this machine take batches.\n")


AT_A_BAD_MOMENT = """
import signal, sys
from redrive import cli
from redrive.models.sql import migrate
from redrive.worker import main

def struck(real):
    def call(*args, **words):
        found = real(*args, **words)
        signal.raise_signal(signal.SIGTERM)
        return found
    return call

if sys.argv.pop(1) == "checked":
    migrate.check = struck(migrate.check)
else:
    main.app.Worker = struck(main.app.Worker)
sys.exit(cli.main())
"""


@pytest.mark.parametrize("moment", ["checked", "made"])
def test_a_worker_stopped_while_it_starts_ends(ours: ProcessWorld, spawn: Spawn, moment: str) -> None:
    """As its database is found to be right, and between that and Celery's own handlers."""
    worker = spawn([sys.executable, "-c", AT_A_BAD_MOMENT, moment, "worker"], {**os.environ, **ours.env})
    assert worker.wait(30) == 0, worker.output()
    assert ("worker.started" in worker.output()) is (moment == "made")


@pytest.mark.parametrize("pool", [[], long(["--pool", "prefork"]), long(["--pool", "solo"]), ["--pool", "threads"]])
def test_celerys_own_command_runs_threads_and_nothing_else(ours: ProcessWorld, spawn: Spawn, pool: list[str]) -> None:
    """A forked child would hear no SIGTERM of the worker's, and not drain."""
    queues = ",".join(ours.settings.queues.taken(["geelark", "docflow", "huawei_workspace"]))
    command = [sys.executable, "-m", "celery", "--app", "redrive.worker.app", "worker", "-Q", queues, "-c", "4", *pool]
    worker = spawn(command, {**ours.env, "CELERY_BROKER_URL": "redis://127.0.0.1:1/0"})
    if pool != ["--pool", "threads"]:
        assert worker.wait(30) == 2
        assert "start it with --pool threads, or `redrive worker`" in worker.output()
        assert "Traceback" not in worker.output()
        return
    ours.add(sample_rows(2, seed=5))
    ours.start("scheduler")
    wait_until(lambda: all(task.status in ENDED_STATES for task in ours.tasks()), 60)
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 0


WRONG = [
    (None, "is not set"), ('"redis://127.0.0.1:1/0"', "is in quotes"), ("bogus://h", "must be an address"),
    ("redis://h/name", "not a number"), ("redis://h:99999/0", "port"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "url", "words"),
    [
        *(("redrive", *each) for each in WRONG),
        ("celery", *WRONG[0]),
        *(long("celery", *each) for each in WRONG[1:]),
    ],
)
def test_a_wrong_address_is_said_in_words(
    spawn: Spawn, tmp_path: Path, command: str, url: str | None, words: str
) -> None:
    """And by an exit code that says: starting again does not help."""
    (tmp_path / "redrive.toml").touch()
    celery = ["celery", "--app", "redrive.worker.app", "worker", "--pool", "threads"]
    environment = {"REDRIVE_BROKER_URL": url} if url else {}
    worker = spawn([sys.executable, "-m", *(celery if command == "celery" else ["redrive", "worker"])], environment)
    assert worker.wait(30) == 2
    assert "REDRIVE_BROKER_URL: " in worker.output()
    assert words in worker.output()
    assert "Traceback" not in worker.output()


def test_installations_on_one_broker_do_not_take_each_others_batches(
    spawn: Spawn, new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> None:
    """Staging's worker runs alone beside production's scheduler: production's batches wait for their own."""
    worlds = []
    for name in ("staging", "production"):
        (tmp_path / name).mkdir()
        world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path / name)
        world.start_sandbox()
        worlds.append(world)
    staging, production = worlds
    worker = staging.start("worker")
    production.start("scheduler")
    production.add(sample_rows(2, seed=6))
    with redis.Redis.from_url(valkey.url) as client:
        waiting = [production.settings.queues.of(name) for name in ("geelark", "docflow", "huawei_workspace")]
        wait_until(lambda: all(client.llen(queue) for queue in waiting), 20, what="batches that nobody takes")
        production.start("worker")
        wait_until(lambda: all(task.status in ENDED_STATES for task in production.tasks()), 60)
    assert "batch" not in worker.output()
    for world in worlds:
        world.close()


@pytest.mark.parametrize(
    "address",
    [
        "redis+socket://{path}?virtual_host=2", long("unix://:p%40ss@{path}?db=3"),
        long("valkey://:p%40ss@127.0.0.1:{port}/1"),
        "redis://worker:s%2Fcret@localhost:{port}",
    ],
)  # fmt: skip
def test_all_work_over_every_kind_of_address(
    spawn: Spawn, new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path, address: str
) -> None:
    """Jobs, wake-ups and doctor: each connects by the same address."""
    with redis.Redis.from_url(valkey.url) as admin:
        if "p%40ss" in address:
            admin.config_set("requirepass", "p@ss")
        if "worker:" in address:
            admin.execute_command("ACL", "SETUSER", "worker", "on", ">s/cret", "+@all", "~*", "&*")
    url = address.format(path=valkey.socket, port=valkey.port)
    world = ProcessWorld(spawn, new_sqlite_database(), url, tmp_path)
    world.start_sandbox()
    assert answer(url) == ""
    scheduler = world.start("scheduler")
    worker = world.start("worker")
    with Client(world.urls["REDRIVE_DATABASE_URL"], url, tmp_path / "redrive.toml") as client:
        client.add_many(sample_rows(2, seed=11))
    wait_until(lambda: all(task.status in ENDED_STATES for task in world.tasks()), 60)
    assert "publish.failed" not in scheduler.output()
    assert "broker.lost" not in worker.output()
    world.close()


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_a_part_whose_output_nobody_reads_works_and_stops(ours: ProcessWorld, part: str) -> None:
    """A terminal on hold from the start: tasks are brought to their end, and SIGTERM is heeded."""
    reader, full = os.pipe()
    os.set_blocking(full, False)
    with suppress(BlockingIOError):
        while os.write(full, b"x" * 4096):
            pass
    os.set_blocking(full, True)
    command = [sys.executable, "-P", "-m", "redrive", part]
    with subprocess.Popen(command, env={**os.environ, **ours.env}, stdout=full, stderr=full) as silent:
        ours.start("scheduler" if part == "worker" else "worker")
        ours.add(sample_rows(2, seed=12))
        wait_until(lambda: all(task.status in ENDED_STATES for task in ours.tasks()), 60)
        silent.send_signal(signal.SIGTERM)
        assert silent.wait(15) == 0
    os.close(reader)
    os.close(full)


def test_a_worker_says_which_secret_hardly_can_be_right(ours: ProcessWorld) -> None:
    """By its key, without its value; it starts all the same."""
    ours.env["GEELARK_TOKEN"] = "'hunter2'"
    worker = ours.start("worker")
    assert "accounts.phones.token: begins or ends with a quote" in worker.output()
    assert "hunter2" not in worker.output()


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_a_part_is_on_the_list_while_it_runs(ours: ProcessWorld, part: str) -> None:
    """One of two that stops leaves it, and the other stays."""

    def listed() -> set[str]:
        with ours.database.reading() as t:
            return {each.name.rpartition(":")[2] for each in queries.processes(t) or () if each.role == part}

    first, second = ours.start(part), ours.start(part)
    both = {str(first.pid), str(second.pid)}
    wait_until(lambda: listed() == both, 30)
    first.signal(signal.SIGTERM)
    assert first.wait(20) == 0
    assert listed() == {str(second.pid)}
