"""How far ahead each stored moment can lie, and how long a wait can be.

A moment that lies further ahead was stored by a clock that has gone back since. Nobody waits for it: it is believed up
to its bound. Who reads a row for a decision also stores what it believed (:func:`.pace.read`,
:func:`.accounts.locked`), so that the wait has an end; who only shows a row believes the same.
"""

from datetime import datetime, timedelta

from ..clock import boottime
from ..rules import Rules
from ..sql.db import Transaction

LONGEST_WAIT_SECONDS = 86_400.0
"""The longest wait that one answer can ask for. Also the bound of a penalty whose length was not stored."""

BALANCE_PROBE_SECONDS = 1800.0
"""How often one task tries whether an empty balance was filled."""


def believed(t: Transaction, moment: datetime | None, latest: datetime) -> datetime | None:
    """The moment, or the latest one that it can be.

    A transaction may have stood still since it asked for its moment, and others may have stored later ones meanwhile.
    So it doubts only what lies further ahead than that by more than the transaction has lasted.
    """
    if moment is None or moment <= latest + timedelta(seconds=boottime() - t.asked):
        return moment
    return latest


def latest_next_call(rules: Rules, now: datetime) -> datetime:
    """Of ``next_at``: permits are taken at most half a lease ahead, and the next one lies an interval behind."""
    return now + timedelta(seconds=rules.lease_seconds / 2 + rules.interval_seconds)


def latest_penalty(seconds: float | None, now: datetime) -> datetime:
    """Of ``blocked_until``: as long as the penalty was when it was given, where that was stored."""
    return now + timedelta(seconds=LONGEST_WAIT_SECONDS if seconds is None else seconds)


def latest_opening(rules: Rules, now: datetime) -> datetime:
    """Of ``open_until``: a breaker stays open for as long as the settings allow."""
    return now + timedelta(seconds=rules.breaker.max_open_seconds)


def latest_probe(now: datetime) -> datetime:
    """Of ``probe_at``."""
    return now + timedelta(seconds=BALANCE_PROBE_SECONDS)


def wait_seconds(value: object) -> float | None:
    """A wait that a provider's code named, at most a day; None where it names none: no number, not above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return None
    return float(min(value, LONGEST_WAIT_SECONDS))
