"""The command line ``redrive``.

The modules of commands import what is heavy inside their commands, so that ``redrive --help`` answers at once.
"""

from importlib.metadata import version
from typing import Annotated

import typer
from typer.models import CommandInfo

from . import accounts, act, look, service, setup, streams, transfer
from .failures import Commands

app = typer.Typer(
    name="redrive",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - the shape of an option's callback
    if wanted:
        typer.echo(f"redrive {version('redrive')}")
        raise typer.Exit


@app.callback()
def redrive(
    *,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and exit.")
    ] = False,
) -> None:
    """Retry failed and canceled tasks at third-party providers, and follow each to its end.

    Settings are in `redrive.toml` (`redrive init` writes one); `redrive doctor` checks them and everything around them.
    """


PANELS = {
    "Run": ("demo", "up", "scheduler", "worker", "flower", "sandbox"),
    "Tasks": (
        "status", "list", "show", "explain", "actions",
        "retry", "hold", "release", "stop", "revive", "import", "export", "prune",
    ),
    "Accounts": ("accounts", "pause", "resume"),
    "Set-up": ("init", "doctor", "migrate"),
}  # fmt: skip
"""The commands as `redrive --help` shows them."""


def _gather() -> None:
    """Register the commands of all modules, each in its panel."""
    for module in (service, look, act, transfer, accounts, setup):
        module.register(app)
    order = {name: panel for panel, names in PANELS.items() for name in names}
    for command in app.registered_commands:
        command.rich_help_panel = order[_name(command)]
    app.registered_commands.sort(key=lambda command: list(order).index(_name(command)))


def _name(command: CommandInfo) -> str:
    return str(command.name or getattr(command.callback, "__name__", ""))


_gather()


def main() -> None:
    """Run the command that was given; see docs/cli.md for exit codes."""
    streams.prepare()
    app(prog_name="redrive")
