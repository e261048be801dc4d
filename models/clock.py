"""Two clocks: the database's for every moment that is stored, the machine's for seconds that pass.

No offset between the two is ever cached: a transaction reads its moment first, and between transactions a process
counts seconds on a clock that goes on while the machine is suspended.
"""

import time
from datetime import UTC, datetime

# time.monotonic() stands still during suspend on Linux, so a laptop that slept would think its lease still good.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds on a clock that only goes forward and counts suspend."""
    return time.clock_gettime(_CLOCK)


def utc_now() -> datetime:
    """This machine's idea of the moment, aware, in UTC."""
    return datetime.now(UTC)
