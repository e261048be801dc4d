"""``redrive up``: scheduler, worker and Flower on this machine, with a broker and a database where none is named."""

import asyncio
import os
import sys
from collections.abc import Collection, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import func, select, text

from redrive.models.errors import SettingsError
from redrive.models.settings import Settings, check_secrets, hide_password
from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from redrive.models.sql.tables import CHECK_DUE, RETRY_DUE, tasks

from . import flower
from .embedded import EmbeddedBroker, announced
from .home import make_home, only_one
from .lines import Lines, printable
from .orphans import Sweeper
from .supervisor import Part, Say, Supervisor, python_part
from .waiting import once_there

DATABASE = "REDRIVE_DATABASE_URL"
COLORS = {"redrive": 1, "broker": 35, "scheduler": 36, "worker": 32, "flower": 33}
# What a worker needs beyond its slowest call: to record, and to close what it holds.
DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything is.

    Attributes:
        broker: the server to run; None: ``broker_url`` is somebody else's.
    """

    home: Path
    database_url: str
    broker_url: str
    broker: EmbeddedBroker | None = None

    @classmethod
    def of(cls, settings: Settings, home: Path, database_url: str) -> "Addresses":
        """Those that are set, else of an embedded broker.

        Raises:
            SettingsError: no broker is named and none is installed.
        """
        if (named := settings.environment.broker_url) is not None:
            return cls(home=home, database_url=database_url, broker_url=named)
        broker = EmbeddedBroker(home)
        return cls(home=home, database_url=database_url, broker_url=broker.url, broker=broker)

    def environment(self, settings: Settings) -> Mapping[str, str]:
        """What the parts need to know: by environment, since everybody can read a process's arguments."""
        return {
            "REDRIVE_HOME": str(self.home),
            "REDRIVE_CONFIG": str(settings.environment.config.absolute()),
            "REDRIVE_DATABASE_URL": self.database_url,
            "REDRIVE_BROKER_URL": self.broker_url,
            # The parts write into pipes, but a person may be reading.
            "REDRIVE_LOG_FORMAT": os.environ.get("REDRIVE_LOG_FORMAT", "text" if sys.stdout.isatty() else "json"),
        }


def run(settings: Settings, *, database_url: str, with_flower: bool = True) -> int:
    """Run all parts until Ctrl-C or SIGTERM; the exit code.

    Raises:
        SettingsError: a secret is missing, another ``up`` runs in this home, no broker is installed.
        SchemaError: the database is of a newer version, or unsuitable, or a configured one has no tables yet.
        Unreachable: Flower's address is taken.
    """
    if problems := check_secrets(settings):
        raise SettingsError(problems)
    home = make_home(settings.environment.home)
    with ExitStack() as stack:
        sweeper = stack.enter_context(Sweeper([stack.enter_context(only_one(home))]))
        if with_flower:
            flower.check_address(settings.flower)
        addresses = Addresses.of(settings, home, database_url)
        _announce(settings, addresses, once_there(lambda: _schema(settings, database_url), _say_waiting))
        if with_flower:
            _print("flower", f"{flower.url(settings.flower)}, {flower.credentials(home).words()}")
        if addresses.broker is not None:
            stack.enter_context(announced(home, addresses.broker_url, sweeper))
        return asyncio.run(_serve(settings, addresses, sweeper, with_flower=with_flower))


async def _serve(settings: Settings, addresses: Addresses, sweeper: Sweeper, *, with_flower: bool) -> int:
    loop = asyncio.get_running_loop()

    def nobody_reads() -> None:
        loop.call_soon_threadsafe(supervisor.end, 0)

    supervisor = Supervisor(sweeper, printer(Lines(sys.stdout, closed=nobody_reads)))
    async with supervisor:
        for part in parts(settings, addresses, addresses.environment(settings), with_flower=with_flower):
            await supervisor.start(part)
        return await supervisor.wait()


def parts(settings: Settings, addresses: Addresses, environment: Mapping[str, str], *, with_flower: bool) -> list[Part]:
    """What runs, in the order it starts.

    It stops in the opposite order: the worker finishes what it holds when nobody gives it more, its broker still there.
    """
    timeouts = (account.limits.timeout_seconds for account in settings.accounts.values())
    drain = max(timeouts, default=0.0) + DRAIN_SECONDS
    wanted = [] if addresses.broker is None else [addresses.broker.part]
    # Only the worker signs in at the providers. Flower, which listens, needs the broker and nothing else.
    secrets = settings.secret_variables
    wanted.append(_part("worker", environment, patience_seconds=drain))
    wanted.append(_part("scheduler", environment, without=secrets))
    if with_flower:
        wanted.append(_part("flower", environment, without={*secrets, DATABASE, "PGPASSWORD"}))
    return wanted


def _part(
    name: str, environment: Mapping[str, str], *, without: Collection[str] = (), patience_seconds: float = 10.0
) -> Part:
    return Part(
        name=name,
        command=python_part("redrive", name),
        environment={variable: value for variable, value in environment.items() if variable not in without},
        without=without,
        patience_seconds=patience_seconds,
    )


def printer(lines: Lines) -> Say:
    """Prints a line under its part's name; in colour where somebody sees it."""
    colored = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def say(name: str, line: str) -> None:
        prefix, words = f"{name:<9} |", printable(line)
        lines.put(f"\x1b[{COLORS.get(name, 0)}m{prefix}\x1b[0m {words}" if colored else f"{prefix} {words}")

    return say


def _schema(settings: Settings, database_url: str) -> str:
    """What there is to report of the schema. Only the database in our own home is migrated unasked.

    Raises:
        SchemaError: a configured one has to be migrated first.
    """
    if settings.environment.database_url is None:
        before, after = migrate.upgrade(database_url)
        return "schema up to date" if before == after else f"schema brought to {after}"
    with closing(Database(database_url)) as database:
        migrate.check(database)
        return migrate.behind(database) or "schema up to date"


def _announce(settings: Settings, addresses: Addresses, schema: str) -> None:
    """Say what is about to happen, before any provider is called."""
    _print("database", f"{hide_password(addresses.database_url)}, {schema}")
    kind = "" if addresses.broker is None else ", embedded"
    _print("broker", hide_password(addresses.broker_url) + kind)
    due = once_there(lambda: _due(addresses.database_url), _say_waiting)
    for name, account in settings.accounts.items():
        limits = account.limits
        pace = f"{limits.calls_per_minute:g} calls a minute, {limits.calls_per_hour:g} an hour"
        retries, checks = due.get((name, "retry"), 0), due.get((name, "check"), 0)
        where = f"{account.provider} at {urlsplit(account.base_url).netloc}"
        _print("account", f"{name}: {where}, {pace}; due now: {retries} to retry, {checks} to check")
    if not settings.accounts:
        _print("account", f"none in {settings.environment.config}, so nothing will be called")


def _due(database_url: str) -> dict[tuple[str, str], int]:
    """What is due by account and operation, read from the partial indexes of exactly that."""
    found: dict[tuple[str, str], int] = {}
    with closing(Database(database_url)) as database, database.reading() as t:
        for operation, predicate in (("retry", RETRY_DUE), ("check", CHECK_DUE)):
            counted = (
                select(tasks.c.account, func.count().label("due"))
                .where(text(predicate), tasks.c.due_at <= t.now)
                .group_by(tasks.c.account)
            )
            found.update({(row.account, operation): row.due for row in t.rows(counted)})
    return found


def _say_waiting(words: str) -> None:
    _print("database", words.removeprefix("database "))


def _print(what: str, words: str) -> None:
    with suppress(OSError):  # a full disk: the work goes on
        print(f"{what:<9} {words}", flush=True)  # noqa: T201 - for the operator who started it
