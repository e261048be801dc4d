"""``redrive flower``."""

import typer

from ..flower import run
from .context import load_settings
from .process import needed_broker_url


def flower() -> None:
    """Run Flower, which shows batches and workers in a browser, on the address that redrive.toml names."""
    settings = load_settings(required=False)
    raise typer.Exit(run(settings, broker_url=needed_broker_url(settings)))
