"""What all contestants stand on: one durable PostgreSQL, one Valkey, processes that never outlive the benchmark."""

import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import redis
from sqlalchemy import create_engine, make_url, text

from redrive.models.sql.migrate import upgrade
from tests.support.processes import Janitor, Process, clean_environment, commit
from tests.support.servers import Databases, Postgres, Valkey

ROOT = Path(__file__).parents[1]


class TunedPostgres(Postgres):
    """A server as an operator would tune it, and durable: fsync, full_page_writes and synchronous_commit are on."""

    TUNED = ("shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min", "work_mem=32MB",
             "maintenance_work_mem=512MB", "random_page_cost=1.1", "effective_cache_size=4GB")  # fmt: skip
    OPTIONS: Any = (*Postgres.OPTIONS, *TUNED)


class Call(NamedTuple):
    """A call as the provider saw it come: when (in seconds since 1970), whose, and about what."""

    at: float
    account: str
    path: str
    ids: Sequence[str]


class Provider:
    """A provider process, and what it counted."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self.url = url
        self._client = httpx.Client(base_url=url, trust_env=False, timeout=60)

    def stats(self) -> dict[str, int]:
        found: dict[str, int] = self._client.get("/stats").raise_for_status().json()
        return found

    def calls(self) -> list[Call]:
        """The calls since the last question for them."""
        return [Call(*each) for each in self._client.get("/journal").raise_for_status().json()]

    def close(self) -> None:
        self._client.close()
        self.process.stop()


class Ground:
    """Servers and processes of one benchmark run; everything ends with the context."""

    def __init__(self) -> None:
        self._janitor = Janitor()
        self.directory = Path(tempfile.mkdtemp(prefix="redrive-bench-"))
        self._janitor.clear_directory(self.directory)
        self._numbers = count(1)
        self._postgres: TunedPostgres | None = None
        self._valkey: Valkey | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._postgres, self._valkey):
            if server is not None:
                server.close()
        self._janitor.close()

    @property
    def postgres(self) -> TunedPostgres:
        if self._postgres is None:
            self._postgres = TunedPostgres(self._janitor, durable=True)
        return self._postgres

    @property
    def valkey(self) -> Valkey:
        if self._valkey is None:
            self._valkey = Valkey(self._janitor)
        return self._valkey

    @property
    def servers(self) -> list[int]:
        """Process ids of database and broker."""
        return [self.postgres.process.pid, self.valkey.process.pid]

    def broker(self) -> str:
        """The broker's URL, everything in it forgotten."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()
        return self.valkey.url

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """A fresh database, with Redrive's schema or empty; dropped at the end."""
        databases = Databases(self.postgres.url)
        with databases.new() as url:
            if migrated:
                upgrade(url)
            yield url

    def versions(self) -> str:
        """What is measured, in a line."""
        engine = create_engine(self.postgres.url)
        with engine.connect() as connection, redis.Redis.from_url(self.valkey.url) as client:
            database = connection.execute(text("SHOW server_version")).scalar_one()
            broker = client.info("server").get("valkey_version", "")
        engine.dispose()
        libraries = ", ".join(f"{name} {version(name)}" for name in ("celery", "sqlalchemy", "httpx", "aiohttp"))
        return (
            f"Redrive {commit() or version('redrive')}, Python {platform.python_version()}, PostgreSQL {database}, "
            f"Valkey {broker}, {libraries}"
        )

    def settle(self) -> None:
        """Write out what earlier runs left, so that no run pays for the one before."""
        engine = create_engine(self.postgres.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text("CHECKPOINT"))
        engine.dispose()

    def conninfo(self, url: str) -> str:
        """The database's address as libpq understands it."""
        parts = make_url(url)
        return f"host={parts.query['host']} user={parts.username} dbname={parts.database}"

    def folder(self) -> Path:
        """A directory of its own."""
        path = self.directory / str(next(self._numbers))
        path.mkdir()
        return path

    def spawn(
        self,
        *args: str | Path,
        env: Mapping[str, str] | None = None,
        ready: str | Callable[[], Any] | None = None,
        timeout_seconds: float = 60,
    ) -> Process:
        """Start ``python -P ARGS`` with the packages that lie beside this one, and wait until it is ready."""
        folder = self.folder()
        environment = clean_environment({"PYTHONPATH": str(ROOT), **(env or {})})
        command = [sys.executable, "-P", *args]
        process = Process(command, log=folder / "log", janitor=self._janitor, env=environment, cwd=folder)
        if ready is not None:
            process.wait_ready(ready, timeout_seconds)
        return process

    @contextmanager
    def provider(
        self, latency_seconds: float = 0.0, *, run_seconds: float = 0.0, journal: bool = False
    ) -> Iterator[Provider]:
        """A lean provider that answers after so long, and where asked remembers each call."""
        port_file = self.folder() / "port"
        given = ("--latency-seconds", str(latency_seconds), "--run-seconds", str(run_seconds))
        args = ("-m", "benchmarks.provider", "--port-file", port_file, *given, *(("--journal",) if journal else ()))
        process = self.spawn(*args, ready=port_file.exists)
        provider = Provider(process, f"http://127.0.0.1:{port_file.read_text()}")
        try:
            yield provider
        finally:
            provider.close()


def machine() -> str:
    """The machine in a line."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{os.cpu_count()} cores ({_processor()}), load {load} at the start"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()
