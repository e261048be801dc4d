"""What the demo shows: a table that moves where there is a terminal, a line now and then where there is none."""

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from redrive.models.states import Status

from .compare import PROVIDERS, Ended
from .counts import Counts

LINE_SECONDS = 3.0


class View:
    """Shows counts as they change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._line_at = self._began
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, counts: Counts) -> None:
        """Show where things stand."""
        if self._live is not None:
            self._live.update(_progress(counts, self._seconds()), refresh=True)
        elif time.monotonic() >= self._line_at:
            self._line_at += LINE_SECONDS
            self._console.print(_line(counts, self._seconds()), soft_wrap=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._began


def _line(counts: Counts, seconds: float) -> str:
    states = ", ".join(f"{count} {status}" for status, count in sorted(counts.by_status().items()))
    calls = sum(counts.calls(account) for account in PROVIDERS)
    return f"{seconds:4.0f} s  {counts.ended} of {counts.total} ended ({states}); {calls} calls"


def _progress(counts: Counts, seconds: float) -> Table:
    present = [status for status in Status if counts.by_status()[status]]
    table = Table(title=f"{counts.ended} of {counts.total} tasks ended, {seconds:.0f} s", title_justify="left")
    for heading in ("account", *present, "calls", "retries"):
        table.add_column(heading, justify="left" if heading == "account" else "right")
    for account in PROVIDERS:
        states = (str(counts.tasks.get((account, status), "")) for status in present)
        table.add_row(account, *states, str(counts.calls(account)), str(counts.accepted(account)))
    return table


def summary(ended: Sequence[Ended], counts: Counts) -> Table:
    """By account and end."""
    table = Table()
    for heading in ("account", "end", "tasks", "retries"):
        table.add_column(heading, justify="right" if heading in {"tasks", "retries"} else "left")
    for account in PROVIDERS:
        ends: Counter[str] = Counter()
        retries: Counter[str] = Counter()
        for task in ended:
            if task.account == account:
                end = f"{task.status} {task.dead_reason or ''}".rstrip()
                ends[end] += 1
                retries[end] += task.accepted
        for end, count in sorted(ends.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(account, end, str(count), str(retries[end]))
        words = f"all, in {counts.calls(account)} calls"
        table.add_row(account, words, str(ends.total()), str(retries.total()), style="bold", end_section=True)
    return table
