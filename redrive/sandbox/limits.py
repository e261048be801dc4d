"""Rates as providers count them: exactly, over a window that slides."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

MINUTE_SECONDS = 60
HOUR_SECONDS = 3600


class RateWindow:
    """The last ``limit`` calls. One more within ``seconds`` of the oldest is over; refused calls count too."""

    def __init__(self, limit: int, seconds: float) -> None:
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=limit)

    def over(self, now: float) -> bool:
        """Count a call and say whether it was one too many."""
        full = len(self._times) == self._times.maxlen
        over = full and self._times[0] > now - self._seconds
        self._times.append(now)
        return over


class Over(Enum):
    """What a call has gone over."""

    MINUTE = "minute"
    HOUR = "hour"
    LOCK = "lock"


@dataclass(slots=True)
class Rate:
    """The limits of one API path. Going over the hour locks the path for ``lock_seconds``."""

    minute: RateWindow | None
    hour: RateWindow | None = None
    lock_seconds: float = 0.0
    locked_until: float = 0.0

    @classmethod
    def of(cls, per_minute: int | None, per_hour: int | None = None, *, lock_seconds: float = 0.0) -> "Rate":
        """Windows for the limits given; None sets none."""
        minute = RateWindow(per_minute, MINUTE_SECONDS) if per_minute else None
        hour = RateWindow(per_hour, HOUR_SECONDS) if per_hour else None
        return cls(minute, hour, lock_seconds)

    def count(self, now: float) -> Over | None:
        """Count a call; what it went over, or None when it is allowed."""
        if now < self.locked_until:
            return Over.LOCK
        over_hour = self.hour is not None and self.hour.over(now)
        over_minute = self.minute is not None and self.minute.over(now)
        if over_hour:
            self.locked_until = now + self.lock_seconds
            return Over.HOUR
        return Over.MINUTE if over_minute else None
