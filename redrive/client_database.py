"""A client's way to the database: opened late, once per process, with the accounts' rules at hand."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from redrive.models import ledger
from redrive.models.errors import DatabaseError, SchemaError, SettingsError
from redrive.models.providers import capabilities_of
from redrive.models.rules import Rules, default_rules, rules_of
from redrive.models.settings import load
from redrive.models.settings.urls import checked_broker_url, checked_database_url
from redrive.models.sql import migrate
from redrive.models.sql.db import Database, Transaction, words
from redrive.models.wake import Waker

from .extras import driver_words
from .host_connection import connection_of, saying_unusable

_FIRST_DATABASE = "run `redrive migrate`, or name another with database_url= or REDRIVE_DATABASE_URL"

Work = Iterator[tuple[Transaction, Mapping[str, Rules]]]
"""A transaction, and the rules of the accounts that are known in it."""


class Access:
    """Transactions of ours or on the host's connection. Arguments and errors are those of :class:`redrive.Client`."""

    def __init__(self, database_url: str | None, broker_url: str | None, config: str | Path | None) -> None:
        settings = load(Path(config) if config is not None else None, required=config is not None)
        environment = settings.environment
        self._url = _checked("database_url", database_url, checked_database_url) or environment.used_database_url
        self._rules = rules_of(settings)
        self._waker = Waker(_checked("broker_url", broker_url, checked_broker_url) or environment.broker_url)
        self._databases: dict[int, Database] = {}
        self._schema_is_right = False

    @property
    def database(self) -> Database:
        """This process's: connections must not cross a fork."""
        # Two threads may both make one; neither has opened anything, and both get the first.
        return self._databases.get(os.getpid()) or self._databases.setdefault(os.getpid(), _database(self._url))

    def close(self) -> None:
        """Close this process's connections. The next call opens new ones."""
        self._waker.close()
        if (database := self._databases.pop(os.getpid(), None)) is not None:
            database.close()

    @contextmanager
    def changing(self, connection: object = None) -> Work:
        """A transaction of ours, committed and followed by a wake-up; or the host's, of which neither is ours."""
        self._check_schema()
        if connection is not None:
            with saying_unusable(), self.database.within(connection_of(connection)) as t:
                yield t, self._ensured(t)
            return
        with self._refusing(), self.database.transaction() as t:
            yield t, self._ensured(t)
        self._waker.wake()

    @contextmanager
    def reading(self) -> Work:
        """A transaction that only reads."""
        self._check_schema()
        with self._refusing(), self.database.reading() as t:
            yield t, self._rules or _default_rules(t)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn the database's errors into ours."""
        try:
            with self.database.saying_unreachable():
                yield
        except DBAPIError as error:
            raise DatabaseError(f"database {self.database.shown}: {words(error)}") from error

    def _check_schema(self) -> None:
        if self._schema_is_right:
            return
        file = self.database.url.database or ""
        if (
            self.database.url.get_backend_name() == "sqlite"
            and file not in ("", ":memory:")
            and not Path(file).exists()
        ):
            # SQLite would make an empty one, and say that it has no tables.
            raise SchemaError(f"{file}: there is no such database yet; {_FIRST_DATABASE}")
        with self._refusing():
            migrate.check(self.database)
        self._schema_is_right = True

    def _ensured(self, t: Transaction) -> Mapping[str, Rules]:
        """The accounts' rules. Written each time: who knows whether the host's last transaction was committed?"""
        ledger.ensure(t, {name: rules.provider for name, rules in self._rules.items()})
        return self._rules or _default_rules(t)


def _database(url: str) -> Database:
    try:
        return Database(url)
    except ImportError as error:
        raise SettingsError(f"database_url: {driver_words(error)}") from None


def _checked(name: str, url: str | None, check: Callable[[str], str]) -> str | None:
    try:
        return check(url) if url is not None else None
    except ValueError as error:
        raise SettingsError(f"{name}: {error}") from None


def _default_rules(t: Transaction) -> dict[str, Rules]:
    """Rules for a host without a settings file: enough to add, report and operate, none of which is sending."""
    providers = ledger.providers(t)
    known = {provider: capabilities_of(provider) for provider in {*providers.values()}}
    found = {name: known[provider] for name, provider in providers.items()}
    return {name: default_rules(name, mine) for name, mine in found.items() if mine is not None}
