"""Real processes at a provider that notes when each call arrived."""

import os
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from math import floor
from pathlib import Path

from sqlalchemy import select

from redrive.models.sql.tables import accounts, limits
from redrive.sandbox.script import Script, make_id
from tests.support.processes import Process

from .house import DESKTOPS, PHONES, REVIEWS, SECRETS, TABLETS, toml
from .process_world import ProcessWorld

HERE = Path(__file__).parent

GENERAL = """
[policy]
base_seconds = 0.1
max_seconds = 1
max_errors = 1000
check_after_seconds = 0.3
check_max_seconds = 1
settle_seconds = 0.5
[scheduler]
poll_seconds = 0.2
"""
ACCOUNTS = {"phones": PHONES, "tablets": TABLETS, "desktops": DESKTOPS, "reviews": REVIEWS + "archive_results = true\n"}
OWN = {
    # Where a call takes many tasks, one, so that there are many calls; and two accounts that share their paths.
    "phones": "batch_size = 1",
    "tablets": 'batch_size = 1\ngroup = "phones"',
    "desktops": "batch_size = 30",
    "reviews": "batch_size = 30",
}
LIMITS = {"max_in_flight": 8, "concurrency": 32, "timeout_seconds": 2, "lease_seconds": 7}


class MeasuredWorld(ProcessWorld):
    """An installation whose provider is measured."""

    def start_provider(
        self, *arguments: str, per_minute: float = 600, per_hour: float = 1_000_000, **secrets: str
    ) -> None:
        """Start the provider and write the configuration that points at it; two accounts share a group."""
        port_file = self.directory / "provider.port"
        self._spawn(
            [sys.executable, "-P", HERE / "measured_provider.py", port_file, *arguments], {}, ready=port_file.exists
        )
        self.sandbox_url = f"http://127.0.0.1:{port_file.read_text().strip()}"
        limits = LIMITS | {"calls_per_minute": per_minute, "calls_per_hour": per_hour}
        text = toml(ACCOUNTS, limits=limits, own=OWN, general=GENERAL)
        self.configure(text.replace("URL", self.sandbox_url), SECRETS | secrets)

    def start_together(self, *parts: str) -> list[Process]:
        """Start schedulers and workers at the same time."""
        command = [sys.executable, "-P", "-m", "redrive"]
        started = [self._spawn([*command, part], {**os.environ, **self.env}) for part in parts]
        for part, process in zip(parts, started, strict=True):
            process.wait_ready(f"{part}.started")
        return started

    def add_failed(self, account: str, provider: str, count: int) -> list[int]:
        """Failed tasks that succeed on their second retry."""
        ids = (make_id(provider, n, Script(succeeds_on=2)) for n in range(count))
        lead = "1" if account == "tablets" else ""
        return self.add({"account": account, "external_id": lead + each} for each in ids)

    def attempts(self, account: str) -> int:
        """Attempts opened about the account's tasks."""
        return sum(task.attempts for task in self.tasks() if task.account == account)

    def paused(self, account: str) -> bool:
        """Whether the account is paused."""
        paused = select(accounts.c.name).where(accounts.c.name == account, accounts.c.paused_at.is_not(None))
        with self.database.reading() as t:
            return bool(t.rows(paused))

    def blocked(self, group: str) -> bool:
        """Whether a path of the group was told to wait."""
        told = select(limits.c.path).where(limits.c.group == group, limits.c.blocked_until.is_not(None))
        with self.database.reading() as t:
            return bool(t.rows(told))

    def arrivals(self) -> dict[str, list[float]]:
        """API path → when its calls arrived, in order."""
        found: dict[str, list[float]] = self.sandbox("arrivals")
        return {path: sorted(moments) for path, moments in found.items()}


def crowds(moments: Sequence[float], *, interval: float, late: float) -> list[str]:
    """Stretches of time with more calls than their permits allow, whatever their length.

    Calls that left up to ``late`` seconds after permits an ``interval`` apart: of two that arrive ``t`` seconds from
    each other, the permits lie within ``t + late``, and that is all there may be between them.
    """
    wrong = []
    for i, first in enumerate(moments):
        for count, last in enumerate(islice(moments, i, None), start=1):
            if count > floor((last - first + late) / interval + 1e-6) + 1:
                wrong.append(f"{count} calls within {last - first:.3f} s, from {first - moments[0]:.3f} s on")
                break
    return wrong


def most_within(moments: Iterable[float], seconds: float) -> int:
    """The most calls that any window of that length saw."""
    ordered, first, most = sorted(moments), 0, 0
    for index, moment in enumerate(ordered):
        while moment - ordered[first] >= seconds:
            first += 1
        most = max(most, index - first + 1)
    return most
