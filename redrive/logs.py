"""Log lines of our processes: one per batch and per state an operator cares about, on standard error.

What libraries log takes the same form, from warnings on. Nothing that is logged can move a cursor or forge a line, and
a stream that takes no lines does not stop the work.
"""

import logging
import os
import sys

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from structlog.types import EventDict, Processor

from .lines import Lines, Logger, printable
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
    last: list[Processor] = (
        [_seen, structlog.dev.ConsoleRenderer(colors=colored(sys.stderr))]
        if terminal
        else [structlog.processors.JSONRenderer()]
    )
    lines = Lines(sys.stderr)
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: Logger(lines),
        cache_logger_on_first_use=True,
    )
    theirs = _Handler(lines)
    without_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    theirs.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[without_meta, *last], foreign_pre_chain=[_without_outage, *first]
        )
    )
    logging.basicConfig(level=logging.WARNING, handlers=[theirs])  # not over what somebody has set up


def _without_outage(_logger: object, _level: str, line: EventDict) -> EventDict:
    """An unreachable broker is not news for a programmer: its name is enough, without the way there."""
    info = line.get("exc_info")
    if isinstance(info, tuple) and isinstance(info[1], (OSError, RedisError, OperationalError)):
        del line["exc_info"]
        line["error"] = type(info[1]).__name__
    return line


def _seen(_logger: object, _level: str, line: EventDict) -> EventDict:
    """Each word on one line, of letters that can be seen. A traceback keeps its lines, which are indented."""
    for key, value in line.items():
        if key == "exception":
            line[key] = "\n".join(f"    {printable(each)}" for each in str(value).split("\n"))
        elif not isinstance(value, bool | int | float | None):
            line[key] = printable(str(value))
    return line


class _Handler(logging.Handler):
    """What libraries log, into the same lines."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self._lines.put(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of the standard library
            self.handleError(record)
