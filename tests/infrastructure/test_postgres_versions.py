"""PostgreSQL as Debian ships it, which is older than that of the wheel."""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from redrive.models.sql import migrate
from redrive.models.states import ENDED_STATES
from redrive.sandbox.samples import sample_rows
from tests.support.process_world import ProcessWorld
from tests.support.processes import Janitor, Process, wait_until
from tests.support.servers import Databases, Postgres

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [None]


@pytest.fixture(params=INSTALLED, ids=lambda programs: programs.parent.name if programs else "none")
def url(request: pytest.FixtureRequest, janitor: Janitor) -> Iterator[str]:
    """An empty database of such a server."""
    if request.param is None:
        pytest.skip("no PostgreSQL of Debian's: apt-get install postgresql")
    with closing(Postgres(janitor, programs=request.param)) as server, Databases(server.url).new() as url:
        yield url


def test_all_work_is_done_on_it(url: str, spawn: Callable[..., Process], broker: str, tmp_path: Path) -> None:
    """Tasks that fail in every way come to their ends, and doctor finds nothing wrong."""
    assert migrate.upgrade(url) == (None, migrate.HEAD)
    world = ProcessWorld(spawn, url, broker, tmp_path)
    world.start_sandbox()
    running = [world.start(part) for part in ("scheduler", "scheduler", "worker", "worker")]
    world.add(sample_rows(30, seed=1))
    wait_until(lambda: all(task.status in ENDED_STATES for task in world.tasks()), 150, what="every task has ended")
    assert world.differences() == []
    assert world.sandbox("stats")["violations"] == {}
    assert [process.returncode for process in running] == [None] * 4
    told = spawn([sys.executable, "-P", "-m", "redrive", "doctor"], world.env)
    assert told.wait(40) == 0, told.output()
    world.close()
