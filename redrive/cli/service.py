"""The commands that run something: everything on this machine, or one part of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .context import broker_url, console, database_url, load_settings, open_database

if TYPE_CHECKING:
    from models.settings import Settings

# Heavy modules are imported inside the commands: `redrive --help` must not wait for them.


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, demo, scheduler, worker, flower):
        app.command()(command)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True}, add_help_option=False)(
        sandbox
    )


def up(
    *,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Do without Flower.")] = False,
) -> None:
    """Run scheduler, worker and Flower until Ctrl-C, with a broker and a database of its own where none is set.

    Says what is due where before the first call. A part that dies is started again. Ctrl-C lets calls that are under
    way finish; a second one does not.
    """
    from ..up import run  # noqa: PLC0415 - heavy

    settings = load_settings()
    raise typer.Exit(run(settings, database_url=database_url(settings), with_flower=not no_flower))


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
    from ..demo.run import Wanted, run  # noqa: PLC0415 - heavy

    wanted = Wanted(tasks=tasks, home=home, keep=keep, flower=flower, timeout_seconds=timeout_seconds)
    raise typer.Exit(run(wanted, console))


def scheduler(
    *,
    once: Annotated[bool, typer.Option("--once", help="One pass, and done.")] = False,
) -> None:
    """Run a scheduler: it decides what is due and hands it to the workers. Any number may run."""
    from scheduler.service import run  # noqa: PLC0415 - heavy

    settings = load_settings()
    broker = _broker_url(settings)
    open_database(settings).close()
    raise typer.Exit(run(settings, database_url=database_url(settings), broker_url=broker, once=once))


def worker() -> None:
    """Run a worker: it calls the providers. SIGTERM lets it finish what is open and give back the rest."""
    from worker.main import run  # noqa: PLC0415 - heavy

    settings = load_settings()
    raise typer.Exit(run(settings, database_url=database_url(settings), broker_url=_broker_url(settings)))


def flower() -> None:
    """Run Flower, which shows batches and workers in a browser, on the address that redrive.toml names."""
    from ..flower import run  # noqa: PLC0415 - heavy

    settings = load_settings()
    raise typer.Exit(run(settings, broker_url=_broker_url(settings)))


def sandbox(arguments: typer.Context) -> None:
    """Run the three providers, simulated, for trying out; its page says how. Options: redrive sandbox --help."""
    from ..sandbox.__main__ import main  # noqa: PLC0415 - heavy

    main(arguments.args)


def _broker_url(settings: "Settings") -> str:
    """The broker's address.

    Raises:
        SettingsError: there is none.
    """
    from models.errors import SettingsError  # noqa: PLC0415 - heavy

    if (url := broker_url(settings)) is None:
        raise SettingsError("REDRIVE_BROKER_URL: is not set; set it, or start `redrive up`, which runs a broker")
    return url
