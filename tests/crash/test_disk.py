"""The disk is full: said in words, nothing is sent that is not on record, and all goes on when there is room again."""

import resource
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.support.crash_world import TIMEOUT, CrashWorld
from tests.support.processes import Process, wait_until

pytestmark = [
    pytest.mark.timeout(TIMEOUT),
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux limits a process that runs"),
]

FULL_BYTES = 128 * 1024
"""No file of a process may grow beyond this: more than it logs, less than its database has."""


def limit(process: Process, size: int) -> None:
    """Let no file of the process be written beyond ``size``, as on a full disk; -1: any."""
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_full_disk(world: CrashWorld, database_url: str) -> None:
    """Nobody sends what he could not write down. Work that was on its way is taken up again."""
    world.start_sandbox("--latency-seconds", "0.2", batch_size=5)
    log = Path(f"{make_url(database_url).database}-wal")
    serial = 0
    while not log.exists() or log.stat().st_size < 2 * FULL_BYTES:
        world.add(world.rows(1, first=serial))
        serial += 1
    scheduler, worker = world.start("scheduler"), world.start("worker")
    wait_until(lambda: world.count_batches("sending") and world.retry_calls(), 20, what="calls under way")
    for process in (scheduler, worker):
        limit(process, FULL_BYTES)
    for process in (scheduler, worker):
        process.wait_ready("database.unreachable")
    calls = world.retry_calls()
    said = len(troubles(scheduler))
    wait_until(lambda: len(troubles(scheduler)) >= said + 2, 20)
    assert world.retry_calls() == calls
    for process in (scheduler, worker):
        limit(process, resource.RLIM_INFINITY)
    world.assert_sound(scheduler, worker)
    assert [line for process in (scheduler, worker) for line in troubles(process) if "disk" not in line] == []


def troubles(process: Process) -> list[str]:
    """What it said of its database."""
    return [line for line in process.output().splitlines() if "database.unreachable" in line]
