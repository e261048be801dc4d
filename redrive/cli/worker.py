"""``redrive worker``."""

from typing import Annotated

import typer
from celery.apps import worker as celerys

from redrive.worker.health import problems
from redrive.worker.main import run

from .console import console, errors
from .context import database_url, driver_installed, load_settings
from .process import logged, needed_broker_url


def worker(
    *,
    provider: Annotated[list[str] | None, typer.Option(help="Take only this provider's queue; repeatable.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run none: ask whether this machine's workers take batches.")
    ] = False,
) -> None:
    """Run a worker: it calls the providers. SIGTERM lets it finish what is open and give back the rest."""
    if check:
        _check_workers()
        return
    with logged() as settings:
        broker = needed_broker_url(settings)
        _silence_celery()
        with driver_installed():
            code = run(settings, database_url=database_url(settings), broker_url=broker, providers=provider or ())
        raise typer.Exit(code)


def _silence_celery() -> None:
    """Keep what Celery prints at a signal from standing between the lines of the log."""
    celerys.safe_say = lambda *_: None


def _check_workers() -> None:
    """For health checks: ends with 1 and says so when a worker of this machine takes no batches."""
    settings = load_settings()
    queues = settings.queues.taken(account.provider for account in settings.accounts.values())
    if found := problems(needed_broker_url(settings), queues[:-1]):
        for words in found:
            errors.print(words, style="red", soft_wrap=True)
        raise typer.Exit(1)
    console.print("The workers of this machine take batches.")
