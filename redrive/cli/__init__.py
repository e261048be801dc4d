"""The command line ``redrive``: what is common to all commands. :mod:`.table` lists them."""

from importlib.metadata import version
from typing import Annotated

import typer

from . import streams
from .group import Commands

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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Retry failed and canceled tasks at third-party providers, and follow each to its end.

    Settings are in `redrive.toml` (`redrive init` writes one); `redrive doctor` checks them and everything around them.
    """


def main() -> None:
    """Run the command that was given; see docs/cli.md for exit codes."""
    streams.prepare()
    app(prog_name="redrive")
