"""What a worker process works with, built once per process at first use: nothing survives a fork."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random
from secrets import token_hex

from celery.platforms import EX_FAILURE
from celery.worker import state

from redrive.models.errors import SettingsError
from redrive.models.ledger import WORKER
from redrive.models.presence import Presence, own_name
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import Settings, load
from redrive.models.settings.network import passwords_in
from redrive.models.sql import migrate
from redrive.models.sql.db import WORKER_LOCK_SECONDS, Database
from redrive.models.wake import Waker

from .bell import Bell
from .crew import Crew
from .desk import Desk
from .draining import Draining
from .heart import Heart
from .leaving import Leaving
from .line import PathLines
from .loop import EventLoop
from .providers import load as load_provider
from .providers.base import Account, Provider
from .sender import Sender
from .together import Together


@dataclass(slots=True)
class Deps:
    """Everything a job needs, handed in.

    Attributes:
        draining: set when the process must end: finish what is open, give back the rest.
        crew: works beside the loop for all senders.
        desk: where batches have their database steps done.
        batches: under way at once, at most.
    """

    database: Database
    rules: Mapping[str, Rules]
    senders: Mapping[str, Sender]
    loop: EventLoop
    waker: Waker
    name: str
    rng: Random = field(default_factory=Random)
    draining: Draining = field(default_factory=Draining)
    heart: Heart = field(init=False)
    leaving: Leaving = field(init=False)
    together: Together = field(init=False)
    lines: PathLines = field(init=False, default_factory=PathLines)

    def __post_init__(self) -> None:
        self.leaving = Leaving(self.database, self.desk)
        self.together = Together(self)
        self.heart = Heart(Presence(self.database, WORKER, self.name))

    crew: Crew = field(default_factory=Crew)
    desk: Desk = field(default_factory=Desk)
    batches: int = 4000

    def next_name(self) -> str:
        """The name under which the next batch is begun, unlike any other's.

        A job that cannot know whether its begin was committed finds out by it. Host, process and a count would
        not do: in containers they come again.
        """
        return f"{self.name[:200]}/{token_hex(6)}"

    def close(self) -> None:
        """Close connections; jobs must have ended."""
        self.heart.stop()
        for sender in self.senders.values():
            self.loop.submit(sender.aclose()).result(timeout=5)
        self.loop.close()
        self.desk.close()
        self.crew.close()
        self.waker.close()
        self.database.close()


def build(settings: Settings, *, database_url: str, broker_url: str | None, environ: Mapping[str, str]) -> Deps:
    """Dependencies from settings.

    Raises:
        SettingsError: a secret is missing.
        SchemaError: the database needs a migration.
        Unreachable: the database does not answer.
    """
    rules = rules_of(settings)
    database, crew = Database(database_url, lock_seconds=WORKER_LOCK_SECONDS), Crew()
    try:
        found = cache(load_provider)  # it searches the installed packages
        senders = {name: _sender(settings, each, environ, database, crew, found) for name, each in rules.items()}
        migrate.check(database)
    except BaseException:
        database.close()
        raise
    draining = Draining()
    loop = EventLoop(died=lambda: _end(draining))
    desk = Desk(settings.worker.threads)
    return Deps(
        database, rules, senders, loop, Bell(broker_url), own_name(), draining=draining, crew=crew, desk=desk,
        batches=settings.worker.batches,
    )  # fmt: skip


def _end(draining: Draining) -> None:
    """End this process with an error: without its loop it could only spend attempts. Celery reads this by itself."""
    draining.set()
    state.should_stop = EX_FAILURE


def _sender(
    settings: Settings,
    rules: Rules,
    environ: Mapping[str, str],
    database: Database,
    crew: Crew | None = None,
    found: Callable[[str], type[Provider]] = load_provider,
) -> Sender:
    configured = settings.accounts[rules.account]
    options = configured.resolve(environ)
    known = configured.capabilities.options
    secrets = [str(value) for key, value in options.items() if value and known[key].secret]
    proxy = configured.proxy_url(environ)
    secrets += passwords_in(proxy)
    provider = found(rules.provider)(Account(rules.account, configured.base_url, options))
    return Sender(
        provider=provider,
        rules=rules,
        base_url=configured.base_url,
        concurrency=configured.limits.concurrency,
        secrets=secrets,
        allow_http=configured.allow_http,
        ca_file=str(configured.ca_file or ""),
        proxy=proxy,
        database=database,
        crew=crew,
    )


_built: dict[int, Deps] = {}
_building = threading.Lock()
_configured: tuple[Settings, str, str | None] | None = None


def configure(settings: Settings, *, database_url: str, broker_url: str | None) -> None:
    """What this process and its children use, where the environment alone does not say."""
    global _configured  # noqa: PLW0603 - one worker process has one configuration
    _configured = (settings, database_url, broker_url)


def get() -> Deps:
    """This process's dependencies."""
    with _building:
        if os.getpid() not in _built:
            settings, database_url, broker_url = _configured or _from_environment()
            _built[os.getpid()] = build(settings, database_url=database_url, broker_url=broker_url, environ=os.environ)
        return _built[os.getpid()]


def built() -> Deps | None:
    """This process's dependencies if it has any yet."""
    return _built.get(os.getpid())


def close() -> None:
    """Close this process's dependencies, if it has any; a second call is harmless."""
    if (own := _built.pop(os.getpid(), None)) is not None:
        own.close()


def _from_environment() -> tuple[Settings, str, str | None]:
    """For a worker started as ``celery -A redrive.worker.app worker``."""
    settings = load()
    url = settings.environment.database_url
    if url is None:
        raise SettingsError("REDRIVE_DATABASE_URL: not set; set it, or start the worker with `redrive worker`")
    return settings, url, settings.environment.broker_url
