"""One clock for everybody, moved by hand: the database's moment and the machine's seconds go together."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import ceil

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = 1_000_000


@dataclass(slots=True)
class Clock:
    """Whole microseconds since the start, so that a moment and its seconds never differ by a rounding."""

    ticks: int = 0

    @property
    def seconds(self) -> float:
        """Stands for ``redrive.models.clock.boottime``."""
        return self.ticks / SECOND

    @property
    def now(self) -> datetime:
        return START + timedelta(microseconds=self.ticks)

    def forward(self, seconds: float) -> None:
        self.until(self.seconds + seconds)

    def until(self, seconds: float) -> None:
        """To that second; never back."""
        self.ticks = max(self.ticks, _ticks(seconds))

    def reached(self, seconds: float) -> bool:
        return self.ticks >= _ticks(seconds)

    def words(self) -> str:
        return f"{self.seconds:8.1f}s"


def _ticks(seconds: float) -> int:
    return ceil(round(seconds * SECOND, 3))


def seconds_of(moment: datetime) -> float:
    return (moment - START) / timedelta(seconds=1)
