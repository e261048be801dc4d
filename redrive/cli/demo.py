"""``redrive demo``."""

from pathlib import Path
from typing import Annotated

import typer

from ..demo.run import Wanted, run
from .console import console
from .context import driver_installed


def demo(
    *,
    tasks: Annotated[int, typer.Option(min=1, max=3000, help="Tasks at each of the three providers.")] = 220,
    home: Annotated[Path | None, typer.Option(help="An empty directory for its files, which stay.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary directory.")] = False,
    flower: Annotated[bool, typer.Option("--flower", help="Run Flower, too.")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=1, help="How long the retrying may take.")] = 300,
) -> None:
    """See the whole system retry simulated failures on this machine; ends with 0 when all ended as they should.

    A real scheduler, worker, broker and database against the sandbox, in a temporary directory. With
    REDRIVE_DATABASE_URL set it works in that database, which must hold no tasks.
    """
    wanted = Wanted(tasks=tasks, home=home, keep=keep, flower=flower, timeout_seconds=timeout_seconds)
    with driver_installed():
        code = run(wanted, console)
    raise typer.Exit(code)
