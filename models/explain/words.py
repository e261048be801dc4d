"""Moments, durations and numbers as a person would say them."""

from datetime import UTC, datetime, timedelta

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float, units: int = 2) -> str:
    """A duration in its largest units: ``3 min 12 s``."""
    left = round(seconds)
    if left < 1:
        return "less than a second"
    parts: list[str] = []
    for size, unit in _UNITS:
        n, left = divmod(left, size)
        if n or parts:
            parts.append(f"{n} {unit}" if n else "")
    return " ".join(filter(None, parts[:units]))


def clock(moment: datetime, now: datetime) -> str:
    """The moment in UTC, with its date unless that is today's."""
    moment = moment.astimezone(UTC)
    form = "%H:%M:%S UTC" if moment.date() == now.astimezone(UTC).date() else "%Y-%m-%d %H:%M:%S UTC"
    return moment.strftime(form)


def ago(moment: datetime, now: datetime) -> str:
    """``3 min 12 s ago``."""
    return f"{duration((now - moment).total_seconds())} ago" if now - moment >= timedelta(seconds=1) else "just now"


def ahead(moment: datetime, now: datetime) -> str:
    """``in 3 min 12 s (22:14:03 UTC)``, or ``now``."""
    left = (moment - now).total_seconds()
    return f"in {duration(left)} ({clock(moment, now)})" if left > 0 else "now"


def many(n: int, noun: str) -> str:
    """``1 retry``, ``2 retries``."""
    if n == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("ch") else f"{noun}s"
    return f"{n:,} {plural}"


def quoted(text: str) -> str:
    """Somebody else's words, on one line, in quotation marks."""
    return f'"{" ".join(text.split())}"'
