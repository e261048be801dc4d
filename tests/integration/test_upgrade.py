"""An upgrade and the way back, with the real release before and this one, under load on one PostgreSQL."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from redrive.models.sql import migrate
from redrive.models.sql.tables import batches
from redrive.sandbox.samples import sample_rows
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Databases

ROOT = Path(__file__).parents[2]
MIGRATIONS = "models/sql/migrations/versions"
WAVES = 4

pytestmark = [pytest.mark.timeout(400), pytest.mark.services]


class Release:
    """One release, installed for itself; its dependencies are those of this interpreter."""

    def __init__(self, source: Path, directory: Path, world: ProcessWorld, spawn: Callable[..., Process]) -> None:
        self._directory, self._world, self._spawn = directory, world, spawn
        pip("wheel", "--no-deps", "--wheel-dir", directory, source)
        (wheel,) = directory.glob("*.whl")
        pip("install", "--no-deps", "--no-index", "--target", directory / "installed", wheel)

    def run(self, *args: str, ready: str | None = None) -> Process:
        environment = {**self._world.env, "PYTHONPATH": str(self._directory / "installed")}
        return self._spawn([sys.executable, "-P", "-m", "redrive", *args], environment, ready=ready)

    def start(self) -> list[Process]:
        """Its scheduler and its worker."""
        return [self.run(part, ready=f"{part}.started") for part in ("scheduler", "worker")]


def pip(*args: str | Path) -> None:
    run([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, args)])


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources from before the newest migration."""
    if not (ROOT / ".git").exists():
        pytest.skip("the release before comes from the history, and this is not a git checkout")
    newest = max(path.name for path in (ROOT / MIGRATIONS).glob("*.py"))
    added = run(["git", "log", "--diff-filter=A", "--format=%H", "--", f"{MIGRATIONS}/{newest}"]).split()
    if not added or subprocess.run(["git", "cat-file", "-e", f"{added[-1]}^"], cwd=ROOT, check=False).returncode:
        pytest.skip("the release before comes from the history, and this checkout is a shallow one")
    directory = tmp_path_factory.mktemp("before")
    run(["git", "archive", "--format=tar", f"--output={directory}/before.tar", f"{added[-1]}^"])
    run(["tar", "--extract", "--directory", str(directory), "--file", f"{directory}/before.tar"])
    return directory


@pytest.fixture
def world(
    spawn: Callable[..., Process], postgres_databases: Databases, broker: str, tmp_path: Path
) -> Iterator[ProcessWorld]:
    """An installation without tables, and its sandbox."""
    with postgres_databases.new() as url:
        world = ProcessWorld(spawn, url, broker, tmp_path)
        world.start_sandbox()
        yield world
        world.close()


@pytest.mark.long
def test_old_and_new_work_together_and_the_old_goes_on_alone(
    world: ProcessWorld, spawn: Callable[..., Process], before: Path, tmp_path: Path
) -> None:
    """The new release on the old schema, the migration amid the work, both on the new one, then the old alone."""
    old = Release(before, tmp_path / "old", world, spawn)
    new = Release(ROOT, tmp_path / "new", world, spawn)
    assert old.run("migrate").wait() == 0

    running = old.start()
    upgraded = new.start()
    add(world, 0)
    at_work(world, running, upgraded)

    add(world, 1)
    assert new.run("migrate").wait() == 0
    at_work(world, running, upgraded)
    restarted = new.start()
    for process in upgraded:
        process.signal(15)
        assert process.wait() == 0
    add(world, 2)
    at_work(world, running, restarted)

    for process in restarted:
        process.signal(15)
        assert process.wait() == 0
    add(world, 3)
    at_work(world, running)
    world.wait_for_the_end(120)
    assert [process.returncode for process in running] == [None, None]
    assert_nothing_is_lost_or_doubled(world)


def add(world: ProcessWorld, wave: int) -> None:
    migrate.check(world.database)
    world.add(sample_rows(200)[wave::WAVES])


def at_work(world: ProcessWorld, *releases: list[Process]) -> None:
    """Until the worker of each release has begun another batch."""
    begun = {release[1].pid: count(world, release[1].pid) for release in releases}
    wait_until(lambda: all(count(world, pid) > was for pid, was in begun.items()), 60, what="each release works")


def count(world: ProcessWorld, pid: int) -> int:
    """Batches that this process has begun."""
    with world.database.reading() as t:
        return len(t.rows(select(batches.c.id).where(batches.c.worker.like(f"%:{pid}/%"))))


def assert_nothing_is_lost_or_doubled(world: ProcessWorld) -> None:
    assert world.differences() == []
    assert len(world.tasks()) == len(sample_rows(200))
    assert world.sandbox("stats")["violations"] == {}
    doubled = text("SELECT task_id FROM redrive_attempts GROUP BY task_id, batch_id HAVING count(*) > 1")
    with world.database.reading() as t:
        assert t.rows(doubled) == []
