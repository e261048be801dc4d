"""Checks of an account come together: what is to be checked at nearly the same moment is checked in one batch."""

from datetime import UTC, datetime, timedelta
from zlib import crc32

PART = 10
"""A check comes later by less than this part of its wait."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def rounded_up(moment: datetime, wait_seconds: float, account: str) -> datetime:
    """The account's next common moment, not before this one.

    Common moments lie closer together the shorter the wait is. Waits of about the same length share theirs, as the
    distance between them is a power of two; accounts do not, so that not all of them have checks due at once.
    """
    distance = 1 << max(0, (int(wait_seconds / _TICK.total_seconds()) // PART).bit_length() - 1)
    since = (moment - _EPOCH) // _TICK - crc32(account.encode()) % distance
    return moment + _TICK * (-since % distance)
