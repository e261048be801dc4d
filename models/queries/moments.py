"""Moments as filters name them."""

from datetime import datetime, timedelta


def moment_of(when: datetime | timedelta, now: datetime) -> datetime:
    """The moment itself, or the one so long ago."""
    return now - when if isinstance(when, timedelta) else when
