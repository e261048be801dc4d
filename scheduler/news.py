"""Log lines for what comes in the way of an account and goes again: each scheduler says what it sees change."""

import structlog

from redrive.models.queries import News, Obstacles, news, obstacles
from redrive.models.sql.db import Transaction

log = structlog.get_logger("redrive.scheduler")


class Newspaper:
    """Remembers what was in the way. What is so already at its start is news too: a log begins with it."""

    def __init__(self) -> None:
        self._before: Obstacles = {}

    def log_changes(self, t: Transaction) -> None:
        """Log what has changed since the last check."""
        now = obstacles(t)
        for each in news(self._before, now):
            say = log.warning if each.bad else log.info
            say(each.event, **_fields(each))
        self._before = now


def _fields(each: News) -> dict[str, str]:
    of = "group" if each.event.startswith("penalty") else "account"
    until = each.until.isoformat(timespec="seconds").replace("+00:00", "Z") if each.until is not None else ""
    fields = {of: each.of, "where": each.where, "why": each.why, "until": until}
    return {name: value for name, value in fields.items() if value}
