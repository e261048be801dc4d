"""Running a worker: Celery takes the jobs, and the event loop works on them."""

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Sequence

import structlog
from celery import signals
from celery.apps import worker as celery_worker
from celery.exceptions import CPendingDeprecationWarning
from celery.platforms import SecurityWarning

from redrive.models.errors import SettingsError
from redrive.models.settings import Settings, check_secrets, doubtful_secrets
from redrive.models.sql import migrate
from redrive.models.sql.db import Database

from . import deps, garbage
from .app import app, use_broker
from .pool import Pool

log = structlog.get_logger("redrive.worker")

MOST_FETCHED = 128
"""Messages that are fetched and not taken yet: with few of them, each would wait until the one before is confirmed."""


def run(settings: Settings, *, database_url: str, broker_url: str, providers: Sequence[str] = ()) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code, 1 if Celery gave up by itself.

    Args:
        settings: of all accounts; the worker serves those of ``providers``, or all when none is named.
        database_url: where the truth is.
        broker_url: where jobs come from.
        providers: whose queues to take.

    Raises:
        SettingsError: a secret is missing, or no account has one of the providers.
        SchemaError: the database cannot be worked on, now or later. What may pass is waited for.
    """
    if problems := check_secrets(settings, os.environ):
        raise SettingsError(problems)
    queues = _queues(settings, providers)
    for words in doubtful_secrets(settings):
        log.warning("secret.doubtful", about=words)
    use_broker(broker_url)
    deps.configure(settings, database_url=database_url, broker_url=broker_url)
    stop = _stopped()
    if not _wait_for(database_url, stop):
        return 0
    own = deps.get()  # what is wrong shows now and not at the first batch
    garbage.settle()
    # Root is discouraged because of pickle, which nothing of ours accepts; the other tells of the next Celery.
    for category in (SecurityWarning, CPendingDeprecationWarning):
        warnings.filterwarnings("ignore", category=category)
    # We say ourselves that the connection was lost, once loudly.
    logging.getLogger("celery.worker.consumer.consumer").setLevel(logging.ERROR)
    # Celery writes past the log, in the handler of a signal: a stream that takes nothing would keep it from ending.
    celery_worker.safe_say = _say
    signals.worker_ready.connect(lambda **_: _ready(queues, stop), weak=False)
    signals.setup_logging.connect(_logs_are_set_up, weak=False)
    worker = app.Worker(
        hostname=node_name(),
        pool_cls=Pool,
        concurrency=min(MOST_FETCHED, own.batches),
        queues=queues,
        # Neither is needed, and both hang on a frozen broker.
        without_gossip=True,
        without_mingle=True,
        task_events=True,
        loglevel="WARNING",
        quiet=True,  # no banner: the log has what an operator needs
    )
    worker.start()
    return int(worker.exitcode or 0)


def _say(words: str, *_: object) -> None:
    log.info("worker.stopping", words=words.strip())


def _stopped() -> threading.Event:
    """Set by SIGTERM and SIGINT, until Celery takes them over as it starts."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _ready(queues: Sequence[str], stop: threading.Event) -> None:
    log.info("worker.started", queues=queues)
    if stop.is_set():  # it came before Celery listened
        signal.raise_signal(signal.SIGTERM)


def _wait_for(database_url: str, stop: threading.Event) -> bool:
    """Wait for the database and its schema; False when it was stopped first."""
    database = Database(database_url)
    try:
        return migrate.wait_for(database, stop, lambda error: log.warning("database.unreachable", error=error))
    finally:
        database.close()


def node_name() -> str:
    """This process's name on the broker: RabbitMQ refuses a second worker of the same name."""
    return f"redrive-{os.getpid()}@{socket.gethostname()}"


def _queues(settings: Settings, providers: Sequence[str]) -> list[str]:
    used = {account.provider for account in settings.accounts.values()}
    if unused := sorted(set(providers) - used):
        raise SettingsError(f"--provider {unused[0]}: no account has it; must be one of {', '.join(sorted(used))}")
    return settings.queues.taken(providers or used)


def _logs_are_set_up(**_: object) -> None:
    """Celery sets up logs of its own unless somebody answers this signal."""
