"""Log lines of our processes: one per batch and per state an operator cares about, on standard error."""

import logging
import os
import sys

import structlog


def configure() -> None:
    """Lines for people on a terminal, JSON elsewhere.

    ``REDRIVE_LOG_LEVEL`` sets how much (default ``info``), ``REDRIVE_LOG_FORMAT`` how: ``text`` or ``json``.
    """
    level = logging.getLevelNamesMapping().get(os.environ.get("REDRIVE_LOG_LEVEL", "info").upper(), logging.INFO)
    terminal = os.environ.get("REDRIVE_LOG_FORMAT", "text" if sys.stderr.isatty() else "json") == "text"
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Never with local variables: some of them are secrets.
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
