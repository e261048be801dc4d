"""``redrive up``."""

from typing import Annotated

import typer

from ..home import make_home
from ..up import run
from .context import database_url, driver_installed, load_settings
from .streams import unread


def up(
    *,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Do without Flower.")] = False,
) -> None:
    """Run scheduler, worker and Flower until Ctrl-C, with a broker and a database of its own where none is set.

    Says what is due where before the first call. A part that dies is started again. Ctrl-C lets calls that are under
    way finish; a second one does not.
    """
    settings = load_settings()
    make_home(settings.environment.home)
    with driver_installed(), unread():
        code = run(settings, database_url=database_url(settings), with_flower=not no_flower)
    raise typer.Exit(code)
