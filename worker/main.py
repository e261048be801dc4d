"""Running a worker: Celery on threads, which only wait for the event loop."""

import os
import warnings

import structlog
from celery import signals
from celery.platforms import SecurityWarning

from models import jobs
from models.errors import SettingsError
from models.settings import Settings, check_secrets

from . import deps
from .app import app


def run(settings: Settings, *, database_url: str, broker_url: str) -> int:
    """Run a worker for all queues until SIGTERM or SIGINT; returns the exit code.

    Raises:
        SettingsError: a secret is missing.
        SchemaError: the database needs a migration.
        Unreachable: the database does not answer.
    """
    if problems := check_secrets(settings, os.environ):
        raise SettingsError(problems)
    app.conf.broker_url = broker_url
    deps.configure(settings, database_url=database_url, broker_url=broker_url)
    deps.get()  # what is wrong shows now and not at the first batch
    queues = jobs.queues(account.provider for account in settings.accounts.values())
    # Root is discouraged because of pickle, which nothing of ours accepts.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.worker_ready.connect(_say_ready, weak=False)
    app.worker_main(
        [
            "--quiet",  # no banner: the log has what an operator needs
            "worker",
            "--pool=threads",
            f"--concurrency={settings.worker.threads}",
            f"--queues={','.join(queues)}",
            # Neither is needed, and both hang on a frozen broker.
            "--without-gossip",
            "--without-mingle",
            "--task-events",
            "--loglevel=WARNING",
        ]
    )
    return 0


def _say_ready(**_: object) -> None:
    structlog.get_logger("redrive.worker").info("worker.started")
