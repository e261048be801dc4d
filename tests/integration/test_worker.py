"""A worker as those see it who run it: its health, its pool, its stop, and neighbours on one broker."""

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from models.states import ENDED_STATES
from redrive.sandbox.samples import sample_rows
from tests.integration.world import World
from tests.processes import Process, wait_until
from tests.servers import Valkey

pytestmark = [pytest.mark.timeout(150), pytest.mark.services]
Spawn = Callable[..., Process]


@pytest.fixture
def ours(spawn: Spawn, new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path) -> Iterator[World]:
    world = World(spawn, new_sqlite_database(), valkey.url, tmp_path)
    world.start_sandbox()
    yield world
    world.close()


def check(world: World, spawn: Spawn) -> tuple[int, str]:
    """What a health check finds."""
    asked = spawn([sys.executable, "-P", "-m", "redrive", "worker", "--check"], world.env)
    return asked.wait(40), asked.output()


def test_a_health_check_sees_whether_batches_are_taken(ours: World, spawn: Spawn) -> None:
    """No worker, two workers, and a worker that somebody told to leave its queues, which it does not."""
    code, words = check(ours, spawn)
    assert code == 1
    assert "is one running on this machine?" in words
    for _ in range(2):
        ours.start("worker")
    assert check(ours, spawn) == (0, "The workers of this machine take batches.\n")


@pytest.mark.parametrize("pool", [[], ["--pool", "prefork"], ["--pool", "solo"], ["--pool", "threads"]])
def test_celerys_own_command_runs_threads_and_nothing_else(ours: World, spawn: Spawn, pool: list[str]) -> None:
    """A forked child would hear no SIGTERM of the worker's, and not drain."""
    queues = ",".join(ours.settings.queues.taken(["geelark", "docflow", "huawei_workspace"]))
    command = [sys.executable, "-m", "celery", "--app", "worker.app", "worker", "-Q", queues, "-c", "4", *pool]
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


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "is not set"), ('"redis://127.0.0.1:1/0"', "is in quotes"), ("bogus://h", "must be an address"),
        ("redis://h/name", "not a number"), ("redis://h:99999/0", "port"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["celery", "redrive"])
def test_a_wrong_address_is_said_in_words(
    spawn: Spawn, tmp_path: Path, url: str | None, words: str, command: str
) -> None:
    """And by an exit code that says: starting again does not help."""
    (tmp_path / "redrive.toml").touch()
    celery = ["celery", "--app", "worker.app", "worker", "--pool", "threads"]
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
        world = World(spawn, new_sqlite_database(), valkey.url, tmp_path / name)
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
