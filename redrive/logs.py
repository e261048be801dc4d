"""Log lines of our processes: one per batch and per state an operator cares about, on standard error.

What libraries log takes the same form, from warnings on.
"""

import logging
import os
import sys

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from structlog.types import EventDict, Processor

from .terminal import colored


def configure() -> None:
    """Lines for people on a terminal, JSON elsewhere.

    ``REDRIVE_LOG_LEVEL`` sets how much (default ``info``), ``REDRIVE_LOG_FORMAT`` how: ``text`` or ``json``.
    """
    level = logging.getLevelNamesMapping().get(os.environ.get("REDRIVE_LOG_LEVEL", "info").upper(), logging.INFO)
    terminal = os.environ.get("REDRIVE_LOG_FORMAT", "text" if sys.stderr.isatty() else "json") == "text"
    first: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Never with local variables: some of them are secrets.
        structlog.processors.format_exc_info,
    ]
    last: Processor = (
        structlog.dev.ConsoleRenderer(colors=colored(sys.stderr)) if terminal else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*first, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    theirs = logging.StreamHandler(sys.stderr)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[without_meta, last], foreign_pre_chain=[_without_outage, *first]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[theirs])  # not over what somebody has set up


def _without_outage(_logger: object, _level: str, line: EventDict) -> EventDict:
    """An unreachable broker is no news for a programmer: its name is enough, without the way there."""
    info = line.get("exc_info")
    if isinstance(info, tuple) and isinstance(info[1], (OSError, RedisError, OperationalError)):
        del line["exc_info"]
        line["error"] = type(info[1]).__name__
    return line
