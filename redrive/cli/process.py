"""What the commands share that run one part of the service."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from redrive.models.errors import SettingsError
from redrive.models.settings import Settings

from ..logs import configure
from .context import broker_url, load_settings
from .failures import in_words


@contextmanager
def logged() -> Iterator[Settings]:
    """The settings of a process with a log: warnings and errors are lines of it, in the form of all others."""
    configure()
    log = structlog.get_logger("redrive")
    with in_words(lambda line: log.error("failed", error=line)):
        yield load_settings(warn=lambda words: log.warning("settings", warning=words))


def needed_broker_url(settings: Settings) -> str:
    """The broker's address.

    Raises:
        SettingsError: there is none.
    """
    if (url := broker_url(settings)) is None:
        raise SettingsError("REDRIVE_BROKER_URL: is not set; set it, or start `redrive up`, which runs a broker")
    return url
