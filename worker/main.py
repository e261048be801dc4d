"""Running a worker: Celery on threads, which only wait for the event loop."""

import os
import warnings
from collections.abc import Sequence

import structlog
from celery import signals
from celery.platforms import SecurityWarning

from models import jobs
from models.errors import SettingsError
from models.settings import Settings, check_secrets

from . import deps, heap
from .app import app


def run(settings: Settings, *, database_url: str, broker_url: str, providers: Sequence[str] = ()) -> int:
    """Run a worker until SIGTERM or SIGINT; returns the exit code, 1 if Celery gave up by itself.

    Args:
        settings: of all accounts; the worker serves those of ``providers``, or all when none is named.
        database_url: where the truth is.
        broker_url: where jobs come from.
        providers: whose queues to take.

    Raises:
        SettingsError: a secret is missing, or no account has one of the providers.
        SchemaError: the database needs a migration.
        Unreachable: the database does not answer.
    """
    if problems := check_secrets(settings, os.environ):
        raise SettingsError(problems)
    queues = _queues(settings, providers)
    app.conf.broker_url = broker_url
    deps.configure(settings, database_url=database_url, broker_url=broker_url)
    deps.get()  # what is wrong shows now and not at the first batch
    heap.settle()
    # Root is discouraged because of pickle, which nothing of ours accepts.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.worker_ready.connect(_say_ready, weak=False)
    signals.setup_logging.connect(_logs_are_set_up, weak=False)
    worker = app.Worker(
        pool_cls="threads",
        concurrency=settings.worker.threads,
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


def _queues(settings: Settings, providers: Sequence[str]) -> list[str]:
    used = {account.provider for account in settings.accounts.values()}
    if unused := sorted(set(providers) - used):
        raise SettingsError(f"--provider {unused[0]}: no account has it; must be one of {', '.join(sorted(used))}")
    return jobs.queues(providers or used)


def _say_ready(**_: object) -> None:
    structlog.get_logger("redrive.worker").info("worker.started")


def _logs_are_set_up(**_: object) -> None:
    """Celery sets up logs of its own unless somebody answers this signal."""
