"""Small things that tables and lines are made of."""

from datetime import datetime

from rich.table import Table
from rich.text import Text

from models.explain.words import ago, ahead

STYLES = {
    "failed": "yellow",
    "canceled": "yellow",
    "in_flight": "cyan",
    "retrying": "cyan",
    "unknown": "magenta",
    "held": "magenta",
    "succeeded": "green",
    "dead": "red",
}
"""What a status looks like on a terminal."""


def table(title: str = "") -> Table:
    """A table without lines, as narrow as its contents."""
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        header_style="bold",
        padding=(0, 2, 0, 0),
    )


def safe(text: str) -> str:
    """Somebody else's text without what could steer a terminal."""
    return "".join(each if each.isprintable() else " " for each in text)


def number(n: int, style: str = "") -> Text:
    """A count; nothing to see where there is nothing."""
    return Text(f"{n:,}", style) if n else Text("·", "dim")


def status_text(status: str, dead_reason: str | None = None) -> Text:
    """A status in its colour."""
    return Text(f"{status} ({dead_reason})" if dead_reason else status, STYLES.get(status, ""))


def moment(at: datetime | None, now: datetime) -> str:
    """When, seen from now: ``in 3 min 12 s (…)``, ``3 min 12 s ago``."""
    if at is None:
        return ""
    return ahead(at, now) if at > now else ago(at, now)
