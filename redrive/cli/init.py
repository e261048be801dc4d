"""``redrive init``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..template import render
from .console import console, errors
from .failures import NOT_WELL


def init(
    *,
    provider: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Whose account is not commented out; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")] = False,
) -> None:
    """Write a commented `redrive.toml`, or the file that REDRIVE_CONFIG names."""
    text, path = render(provider), Path(os.environ.get("REDRIVE_CONFIG") or "redrive.toml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        errors.print(f"{path} is there already: change it, or overwrite it with --force.", style="red")
        raise typer.Exit(NOT_WELL) from None
    console.print(f"Wrote {path}. Next: fill in the accounts; then `redrive migrate`, `redrive doctor`, `redrive up`.")
