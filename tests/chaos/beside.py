"""The verdict's last line: the pace of ten healthy accounts beside each kind of trouble, measured at the provider."""

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import redis

from redrive.models.sql.migrate import upgrade
from tests.chaos.verdict import Verdict
from tests.chaos.world import ChaosWorld
from tests.support.measured_world import MeasuredWorld
from tests.support.processes import Janitor, Process, clean_environment
from tests.support.street import TROUBLES, street

LEAST = 0.95
TRIES = 3
"""A busy machine is busier in one of two stretches of time; the better of three comparisons counts."""


def measure(world: ChaosWorld, seconds: float, janitor: Janitor, verdict: Verdict) -> None:
    """In an installation of its own on the same servers; what was under attack is over."""
    for member in world.crew:
        member.process.kill()
    with redis.Redis.from_url(world.valkey.url) as client:
        client.flushall()
    directory = world.directory / "beside"
    directory.mkdir()
    url = _database(world, directory)
    upgrade(url)
    started: list[Process] = []
    measured = MeasuredWorld(_spawn(directory, janitor, started), url, world.valkey.url, directory)
    try:
        with street(measured, directory) as ours:
            for trouble in TROUBLES:
                if world.postgres is None and "transaction" in trouble:
                    continue  # SQLite has one lock, and a host's transaction that writes is everybody's
                verdict.beside[trouble] = _best(lambda trouble=trouble: ours.share(trouble, seconds))  # type: ignore[misc]
    finally:
        for process in started:
            process.kill()
        measured.close()
    verdict.wrong += [
        f"beside {trouble} ten healthy accounts kept {share:.0%} of their pace"
        for trouble, share in verdict.beside.items()
        if share < LEAST
    ]


def _best(share: Callable[[], float]) -> float:
    best = 0.0
    for _ in range(TRIES):
        best = max(best, share())
        if best >= LEAST:
            break
    return best


def _database(world: ChaosWorld, directory: Path) -> str:
    if world.postgres is None:
        return f"sqlite:///{directory}/redrive.db"
    with psycopg.connect(host=str(world.postgres.directory), user="postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE beside")
    return world.postgres.url.replace("/postgres?", "/beside?")


def _spawn(directory: Path, janitor: Janitor, started: list[Process]) -> Callable[..., Process]:
    numbers = count()

    def spawn(args: Sequence[str | Path], env: Mapping[str, str], **_: Any) -> Process:
        log = directory / f"process-{next(numbers)}.log"
        started.append(Process(args, log=log, janitor=janitor, env=clean_environment(env), cwd=directory))
        return started[-1]

    return spawn
