"""``redrive doctor``: what is right, what is worth a check, what is wrong."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum

import typer

from redrive.models import queries
from redrive.models.errors import SchemaError, SettingsError, Unreachable
from redrive.models.explain.words import many
from redrive.models.jobs import former_queues
from redrive.models.rules import rules_of
from redrive.models.settings import Settings, check_secrets, doubtful_secrets, hide_password, load, unread_proxies
from redrive.models.sql import migrate
from redrive.models.sql.db import Database

from ..terminal import safe
from .broker import answer, leftovers, warnings
from .context import broker_url, console, open_database, print_json
from .database import examined
from .failures import NOT_WELL, WRONG
from .notices import notices
from .options import Json
from .remedies import with_remedy


def doctor(*, as_json: Json = False) -> None:
    """Check settings, credentials, database and broker, and that they agree. Changes nothing."""
    findings, code = [], 0
    for finding in examine():
        findings.append(finding)
        code = max(code, finding.exit_code)
        if not as_json:
            console.print(safe(f"{finding.level:8}{finding.key}: {finding.text}"), style=finding.level.style)
    if as_json:
        print_json(queries.plain(findings))
    if code:
        raise typer.Exit(code)


class Level(StrEnum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"

    @property
    def style(self) -> str:
        """Its colour."""
        return {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "red"}[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked; ``exit_code`` is what it makes of the whole."""

    level: Level
    key: str
    text: str
    exit_code: int = field(default=0)


def examine() -> Iterator[Finding]:
    """Everything, in the order in which one thing needs the other."""
    try:
        settings = load()
    except SettingsError as error:
        yield from (_wrong(problem) for problem in error.problems)
        return
    yield from (_about(Level.WARNING, warning) for warning in settings.warnings)
    if proxies := unread_proxies(settings):
        yield _about(Level.WARNING, proxies)
    yield _accounts(settings)
    yield from _secrets(settings)
    yield from _broker(settings)
    yield from _database(settings)


def _accounts(settings: Settings) -> Finding:
    file = str(settings.environment.config)
    if not settings.accounts:
        return Finding(Level.WARNING, file, "names no account, so nothing is retried; fill in an [accounts.NAME] table")
    return Finding(Level.OK, file, f"{many(len(settings.accounts), 'account')} configured")


def _secrets(settings: Settings) -> Iterator[Finding]:
    problems = check_secrets(settings)
    yield from (_wrong(problem) for problem in problems)
    yield from (_about(Level.WARNING, words) for words in doubtful_secrets(settings))
    if settings.accounts and not problems:
        yield Finding(Level.OK, "credentials", "all are there, and no two accounts share one")


def _broker(settings: Settings) -> Iterator[Finding]:
    url = broker_url(settings)
    if url is None:
        words = "none is configured and `redrive up` does not run here: nothing carries batches to workers"
        yield Finding(Level.WARNING, "broker", words)
        return
    shown = hide_password(url)
    if problem := answer(url):
        yield Finding(Level.ERROR, "broker", f"{shown} {problem}", NOT_WELL)
        return
    yield Finding(Level.OK, "broker", f"{shown} answers; the queues are {settings.queues.of('…')}")
    yield from (Finding(Level.WARNING, "broker", words) for words in warnings(url))
    for name, length in leftovers(url, former_queues(account.provider for account in settings.accounts.values())):
        words = f"{many(length, 'message')} of an earlier release lie there, which nobody takes; delete the queue"
        yield Finding(Level.WARNING, name, words)


def _database(settings: Settings) -> Iterator[Finding]:
    try:
        database = open_database(settings)
    except (SchemaError, SettingsError) as error:
        yield Finding(Level.ERROR, "database", str(error).removeprefix("database "), WRONG)
        return
    except Unreachable as error:
        yield Finding(Level.ERROR, "database", with_remedy(str(error)).removeprefix("database "), NOT_WELL)
        return
    with closing(database):
        found = examined(database)
        yield from (Finding(Level.ERROR, "database", words, NOT_WELL) for words in found.problems)
        yield from (Finding(Level.WARNING, "database", words) for words in found.warnings)
        if not found.problems:
            by = ", through a pooler" if found.through_a_pooler else ""
            behind = migrate.behind(database)
            right = "" if behind else ", its schema is right"
            yield Finding(Level.OK, "database", f"{database.shown} takes writes{by}{right}")
            yield from [Finding(Level.WARNING, "database", f"is at {behind}")] if behind else ()
            yield from _rows(settings, database)


def _rows(settings: Settings, database: Database) -> Iterator[Finding]:
    """Whether rows and settings agree, who is at work, and what is in the way of work."""
    with database.reading() as t:
        overview = queries.overview(t, rules_of(settings))
    for account in overview.accounts:
        if account.configured and account.recorded_provider not in {None, account.provider}:
            words = f"is {account.provider}, but its tasks are {account.recorded_provider}'s; give it another name"
            yield Finding(Level.ERROR, f"accounts.{account.account}.provider", words, WRONG)
    yield from (Finding(Level.WARNING, notice.about, notice.words) for notice in notices(overview))


def _wrong(problem: str) -> Finding:
    return _about(Level.ERROR, problem, WRONG)


def _about(level: Level, words: str, exit_code: int = 0) -> Finding:
    """From "key: what"."""
    key, _, text = words.partition(": ")
    return Finding(level, key, text, exit_code)
