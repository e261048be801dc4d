"""All commands as one group that loads only the one that is wanted."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from .failures import in_words
from .table import COMMANDS, PANELS

_MARKUP: Final = "markdown"


class Commands(TyperGroup):
    """The table's commands, with their errors in words. What it holds of each is enough for help and completion."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings | {"commands": _lines()})

    def resolve_command(  # type: ignore[override]  # typer's own name for click's context
        self, ctx: typer.Context, args: list[str]
    ) -> tuple[str | None, TyperCommand | None, list[str]]:
        """Load the command that the arguments name."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, loaded(name) if name is not None else None, rest

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]  # as above
        """Run the command."""
        with in_words():
            return super().invoke(ctx)


def _lines() -> Mapping[str, TyperCommand]:
    """Each command as `redrive --help` shows it."""
    return {
        name: TyperCommand(name, help=line.words, rich_help_panel=panel, rich_markup_mode=_MARKUP)
        for panel, lines in PANELS.items()
        for name, line in lines.items()
    }


def loaded(name: str) -> TyperCommand:
    """The command itself.

    Raises:
        LookupError: the table leads nowhere, which is a mistake of ours.
    """
    module, _, function = COMMANDS[name].where.partition(":")
    home = import_module(f".{module}", __package__)
    if not hasattr(home, function):
        raise LookupError(f"command {name}: {module}.py has no function {function}; correct its line in cli/table.py")
    alone = typer.Typer(add_completion=False, rich_markup_mode=_MARKUP)
    alone.command(name)(getattr(home, function))
    return cast("TyperCommand", get_command(alone))
