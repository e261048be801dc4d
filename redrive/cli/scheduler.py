"""``redrive scheduler``."""

from typing import Annotated

import typer

from redrive.scheduler.service import run

from .context import database_url, driver_installed
from .process import logged, needed_broker_url


def scheduler(
    *,
    once: Annotated[bool, typer.Option("--once", help="One pass, and done.")] = False,
) -> None:
    """Run a scheduler: it decides what is due and hands it to the workers. Any number may run."""
    with logged() as settings:
        broker = needed_broker_url(settings)
        with driver_installed():
            code = run(settings, database_url=database_url(settings), broker_url=broker, once=once)
        raise typer.Exit(code)
