"""What every command stands on: settings, the database, the broker's address, where to write, who is asking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError

from redrive.models.errors import SchemaError, SettingsError, Unreachable
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import Settings, load
from redrive.models.settings.environment import DATABASE_FILE
from redrive.models.sql import migrate
from redrive.models.sql.db import Database, words
from redrive.models.wake import Waker

from ..asker import this_user
from ..extras import driver_words
from ..home import make_database_file
from ..terminal import safe
from .console import console, errors, print_json

__all__ = [
    "broker_url", "console", "database_url", "driver_installed", "errors", "known_rules",
    "load_settings", "open_database", "opened", "print_json", "wake_schedulers", "who",
]  # fmt: skip


def _print_warning(words: str) -> None:
    errors.print(f"warning: {words}", style="yellow")


def load_settings(*, required: bool = True, warn: Callable[[str], None] = _print_warning) -> Settings:
    """The settings; their warnings go to standard error.

    Args:
        required: False: without a file there are no accounts.
        warn: says a warning.

    Raises:
        SettingsError: with everything that is wrong.
    """
    settings = load(required=required)
    for warning in settings.warnings:
        warn(warning)
    return settings


def known_rules(settings: Settings) -> dict[str, Rules] | None:
    """The rules of the accounts; None where there are no settings, so that nobody can say which accounts there are."""
    return rules_of(settings) if settings.environment.config.exists() else None


def database_url(settings: Settings) -> str:
    """The configured database, or the embedded one under REDRIVE_HOME, whose directory is made."""
    if settings.environment.database_url is None:
        make_database_file(settings.environment.home)
    return settings.environment.used_database_url


def _ensure_there(settings: Settings) -> None:
    """Create no database for a command that only reads.

    Raises:
        SchemaError: there is none.
    """
    home = settings.environment.home
    if settings.environment.database_url is None and not (home / DATABASE_FILE).exists():
        remedy = "name one in REDRIVE_DATABASE_URL, or run `redrive migrate` to create this one"
        raise SchemaError(f"database {home / DATABASE_FILE}: does not exist; {remedy}")


def open_database(settings: Settings) -> Database:
    """The database, its schema checked; the caller closes it.

    Raises:
        SchemaError: it names the remedy.
        SettingsError: its driver is not installed.
        Unreachable: it does not answer, or answers that it is something else.
    """
    _ensure_there(settings)
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
        SettingsError: the database's driver is missing, or lacks what it needs.
    """
    try:
        yield
    except ImportError as error:
        raise SettingsError(f"REDRIVE_DATABASE_URL: {driver_words(error)}") from None


@contextmanager
def opened(*, required: bool = True) -> Iterator[tuple[Settings, Database]]:
    """Settings and an open database, closed at the end."""
    settings = load_settings(required=required)
    database = open_database(settings)
    try:
        yield settings, database
    finally:
        database.close()


def broker_url(settings: Settings) -> str | None:
    """The configured broker, or the one that ``redrive up`` runs under REDRIVE_HOME, or None."""
    if settings.environment.broker_url is not None:
        return settings.environment.broker_url
    from ..home import running_broker  # noqa: PLC0415 - only where no broker is configured

    return running_broker(settings.environment.home)


def wake_schedulers(settings: Settings) -> None:
    """Tell schedulers that something changed; without a broker they see it at their next poll."""
    waker = Waker(broker_url(settings))
    waker.wake()
    waker.close()


def who() -> str:
    """Who is asking, as actions record it: ``user@host``."""
    return safe(this_user())
