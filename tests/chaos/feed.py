"""Tasks, added steadily: every script that the providers know, again and again."""

from itertools import islice
from typing import Any

from redrive.models.errors import Unreachable
from redrive.sandbox.samples import ACCOUNTS, sample_rows
from tests.chaos.world import ChaosWorld

MOST_AT_ONCE = 200


class Feed:
    """Adds ``total`` tasks over ``seconds``; what the database was not there for is added when it is back."""

    def __init__(self, world: ChaosWorld, total: int, seconds: float, seed: int) -> None:
        rows = sample_rows(-(-total // len(ACCOUNTS)), seed)[:total]
        self._world = world
        self._rows = iter(rows)
        self._per_second = total / seconds
        self._waiting: list[dict[str, Any]] = []
        self.added: list[dict[str, Any]] = []

    def step(self, seconds: float) -> None:
        """Add what should have been added by now."""
        wanted = int(seconds * self._per_second) - len(self.added)
        if not self._waiting:
            self._waiting = list(islice(self._rows, min(max(wanted, 0), MOST_AT_ONCE)))
        if self._waiting and self.add(self._waiting):
            self.added += self._waiting
            self._waiting = []

    def rest(self) -> None:
        """Add all that is left."""
        while self._waiting or (next_ := list(islice(self._rows, MOST_AT_ONCE))):
            self._waiting = self._waiting or next_
            if self.add(self._waiting):
                self.added += self._waiting
                self._waiting = []

    def add(self, rows: list[dict[str, Any]]) -> bool:
        """Add these, perhaps not for the first time; False when the database was not there."""
        try:
            self._world.add(rows)
        except Unreachable:
            return False
        return True
