"""Asking whether something is really wanted."""

import sys

import typer

from .context import errors
from .failures import NOT_WELL, WRONG


def sure(question: str, *, yes: bool, only_at_terminal: bool = False) -> None:
    """Go on when the answer is yes.

    Without a terminal nobody can be asked: it goes on if ``only_at_terminal``, else it ends with the remedy.
    """
    if yes or (only_at_terminal and not at_terminal()):
        return
    if not at_terminal():
        errors.print(f"{question} Nobody is there to be asked: say --yes, or see --dry-run first.", style="red")
        raise typer.Exit(WRONG)
    if not typer.confirm(question, err=True):
        errors.print("Nothing was changed.")
        raise typer.Exit(NOT_WELL)


def at_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()
