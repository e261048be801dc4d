"""What every command stands on: settings, the database, the broker's address, where to write, who is asking."""

import getpass
import json
import os
import re
import socket
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Literal, cast

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..terminal import colored, safe

if TYPE_CHECKING:
    from models.db import Database
    from models.rules import Rules
    from models.settings import Settings

BROKER_FILE = "broker.url"
"""Under REDRIVE_HOME: the address of the broker that ``redrive up`` runs there."""

_WIDE = 10_000
"""Columns where nobody reads with eyes: a pipe gets whole lines."""


class _Stream:
    """Standard output or error of the moment: tests and callers may exchange it.

    A pipe gets lines without the spaces that fill a table: whoever reads it wants the words.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def _now(self) -> "IO[str] | None":
        return cast("IO[str] | None", getattr(sys, self._name))

    @property
    def encoding(self) -> str:
        """Rich draws by it."""
        return getattr(self._now, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether somebody reads it with eyes."""
        return self._now is not None and self._now.isatty()

    def fileno(self) -> int:
        """The number of its file: the width of a terminal is asked for by it."""
        return self._now.fileno() if self._now is not None else -1

    def write(self, text: str) -> int:
        """Write."""
        if self._now is not None:
            self._now.write(text if self.isatty() else re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        if self._now is not None:
            self._now.flush()


class _Console(Console):
    """A console that lets through no control character, cuts nothing off and knows no markup.

    What is printed comes from providers, hosts and owners: their brackets mean nothing. A line that is too long is
    left to the terminal, so that ids stay whole.
    """

    def __init__(self, name: str) -> None:
        stream = _Stream(name)
        colors: Literal["auto"] | None = "auto" if colored(stream) else None
        super().__init__(
            file=cast("IO[str]", stream), color_system=colors, markup=False, highlight=False, emoji=False,
            soft_wrap=True,
        )  # fmt: skip

    @property
    def size(self) -> ConsoleDimensions:
        """Of the terminal; a pipe is as wide as anything."""
        return super().size if self.file.isatty() else ConsoleDimensions(_WIDE, 25)

    @size.setter
    def size(self, _new: tuple[int, int]) -> None:
        raise NotImplementedError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, without what steers a terminal."""
        for each in super().render(renderable, options):
            yield each if each.control or each.text.isprintable() or each.text == "\n" else _harmless(each)


def _harmless(segment: Segment) -> Segment:
    return Segment("\n".join(map(safe, segment.text.split("\n"))), segment.style)


console = _Console("stdout")
errors = _Console("stderr")


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


def known_rules(settings: "Settings") -> "dict[str, Rules] | None":
    """The rules of the accounts; None where there are no settings, so that nobody can say which accounts there are."""
    from models.rules import rules_of  # noqa: PLC0415 - heavy

    return rules_of(settings) if settings.environment.config.exists() else None


def database_url(settings: "Settings") -> str:
    """The configured database, or the embedded one under REDRIVE_HOME, whose directory is made."""
    if settings.environment.database_url is None:
        settings.environment.home.mkdir(parents=True, exist_ok=True)
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
    utf8 = console.encoding.startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=not utf8)
    # JSON leaves some characters as they are that would steer a terminal.
    sys.stdout.write("\n".join(_UNPRINTABLE.sub(_escaped, line) for line in text.split("\n")) + "\n")
    sys.stdout.flush()


_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
