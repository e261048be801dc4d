"""What every command stands on: settings, the database, the broker's address, where to write, who is asking."""

import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from rich.console import Console

if TYPE_CHECKING:
    from models.db import Database
    from models.settings import Settings

BROKER_FILE = "broker.url"
"""Under REDRIVE_HOME: the address of the broker that ``redrive up`` runs there."""

_WIDE = 10_000
"""Columns where nobody reads with eyes: a pipe gets whole lines."""


class _Pipe:
    """Standard output or error without the spaces that fill a table's lines: whoever reads a pipe wants the words."""

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, text: str) -> int:
        """Write, each line without its trailing spaces."""
        getattr(sys, self._name).write(re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        """Flush the stream of the moment: tests and callers may exchange it."""
        getattr(sys, self._name).flush()


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if not stream.isatty():
        pipe = cast("IO[str]", _Pipe("stderr" if stderr else "stdout"))
        return Console(file=pipe, markup=False, highlight=False, width=_WIDE)
    # What is printed comes from providers and hosts: their brackets are no markup.
    return Console(stderr=stderr, markup=False, highlight=False)


console = _console()
errors = _console(stderr=True)


def load_settings(*, required: bool = True) -> "Settings":
    """The settings; their warnings are said on standard error.

    Args:
        required: False: without a file there are no accounts.

    Raises:
        SettingsError: with everything that is wrong.
    """
    from models.settings import load  # noqa: PLC0415 - heavy

    settings = load(required=required)
    for warning in settings.warnings:
        errors.print(f"warning: {warning}", style="yellow", soft_wrap=True)
    return settings


def database_url(settings: "Settings") -> str:
    """The configured database, or the embedded one under REDRIVE_HOME, whose directory is made."""
    if settings.environment.database_url is None:
        from ..home import make_database_file  # noqa: PLC0415 - only where the database is a file of ours

        make_database_file(settings.environment.home)
    return settings.environment.used_database_url


def open_database(settings: "Settings") -> "Database":
    """The database, its schema checked; the caller closes it.

    Raises:
        SchemaError: it names the remedy.
        SettingsError: its driver is not installed.
        Unreachable: it does not answer, or answers that it is something else.
    """
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - heavy

    from models import migrate  # noqa: PLC0415 - heavy
    from models.db import Database, words  # noqa: PLC0415 - heavy
    from models.errors import Unreachable  # noqa: PLC0415 - beside the others

    with driver_installed():
        database = Database(database_url(settings))
    try:
        migrate.check(database)
    except BaseException as error:
        database.close()
        if isinstance(error, DBAPIError):
            raise Unreachable(f"database {database.shown}: {words(error)}") from None
        raise
    return database


@contextmanager
def driver_installed() -> Iterator[None]:
    """Turn "no such module" into the command that installs it.

    Raises:
        SettingsError: the database's driver is missing.
    """
    from models.errors import SettingsError  # noqa: PLC0415 - beside the others

    try:
        yield
    except ModuleNotFoundError as error:
        words = f"needs the module {error.name}, which is not installed; pip install 'redrive[postgres]'"
        raise SettingsError(f"REDRIVE_DATABASE_URL: {words}") from None


@contextmanager
def opened(*, required: bool = True) -> Iterator[tuple["Settings", "Database"]]:
    """Settings and an open database, closed at the end."""
    settings = load_settings(required=required)
    database = open_database(settings)
    try:
        yield settings, database
    finally:
        database.close()


def broker_url(settings: "Settings") -> str | None:
    """The configured broker, or the one that ``redrive up`` runs under REDRIVE_HOME, or None."""
    if settings.environment.broker_url is not None:
        return settings.environment.broker_url
    try:
        return (settings.environment.home / BROKER_FILE).read_text().strip() or None
    except OSError:
        return None


def wake_schedulers(settings: "Settings") -> None:
    """Tell schedulers that something changed; without a broker they see it at their next poll."""
    from models.wake import Waker  # noqa: PLC0415 - heavy

    waker = Waker(broker_url(settings))
    waker.wake()
    waker.close()


def who() -> str:
    """Who is asking, as actions record it: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user often has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def print_json(value: object, *, indent: int | None = 2) -> None:
    """A value of :func:`models.queries.plain` on standard output."""
    sys.stdout.write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")
