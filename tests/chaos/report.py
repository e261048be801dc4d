"""What a run found, for people and for machines."""

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.verdict import Verdict
from tests.support.processes import commit

STALL = """The longest stall is the longest time an account had a retry due or in a batch, nothing healthy prevented it
(no pause, open breaker or penalty), and none of its attempts was opened or closed."""


HELPERS = ("people: ", "service manager: ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run."""

    database: str
    seed: int
    done: dict[str, int]
    verdict: Verdict
    longest_stall_seconds: float
    longest_stall_at: str
    faults_seconds: float
    wall_seconds: float

    @property
    def faults(self) -> dict[str, int]:
        """What was broken, how often."""
        return {name: n for name, n in sorted(self.done.items()) if not name.startswith(HELPERS)}

    @property
    def helpers(self) -> dict[str, int]:
        """What people and the service manager did meanwhile."""
        return {name: n for name, n in sorted(self.done.items()) if name.startswith(HELPERS)}

    @property
    def figures(self) -> list[tuple[str, str]]:
        """The table's second part."""
        verdict = self.verdict
        ends = ", ".join(f"{n:,} {end}" for end, n in sorted(verdict.ends.items()))
        return [
            ("faults", f"{sum(self.faults.values()):,} in {self.faults_seconds / 60:.1f} minutes"),
            ("tasks", f"{verdict.tasks:,}: {ends}"),
            ("at their limit early, answers lost", f"{verdict.shortened:,}"),
            ("deleted, or in strange words for a while", f"{verdict.strange:,}"),
            ("attempts", f"{verdict.attempts:,}"),
            ("calls to the providers", f"{verdict.calls:,}, {verdict.struck:,} of them answered badly or not at all"),
            ("violations", str(sum(each["count"] for each in verdict.violations.values()))),
            ("tasks lost", str(len(verdict.lost))),
            ("other disagreements", str(len(verdict.wrong))),
            ("pace of ten healthy accounts beside trouble", _shares(verdict.beside)),
            ("longest stall", f"{self.longest_stall_seconds:.1f} s ({self.longest_stall_at or 'none'})"),
            ("wall time", f"{self.wall_seconds / 60:.1f} minutes"),
            ("database, seed", f"{self.database}, {self.seed}"),
            ("commit", commit() or "unknown"),
            ("machine", machine()),
        ]

    @property
    def offences(self) -> list[str]:
        """All that must not be, and the histories of the tasks concerned."""
        verdict = self.verdict
        counted = [f"{name}: {each['count']}, {each['examples']}" for name, each in verdict.violations.items()]
        return [*counted, *verdict.lost, *verdict.wrong, *verdict.histories]

    def show(self, console: Console) -> None:
        """Print both tables."""
        broken = Table("fault", "times", title="Faults")
        for name, times in {**self.faults, **self.helpers}.items():
            broken.add_row(name, str(times))
        found = Table("what", "found", title="The good end" if self.verdict.good else "NOT GOOD")
        for name, value in self.figures:
            found.add_row(name, value)
        console.print(broken, found)
        for offence in self.offences:
            console.print(offence, markup=False, highlight=False, soft_wrap=True)

    def markdown(self) -> str:
        """The same, to be put into a page."""
        faults = [f"| {name} | {times} |" for name, times in {**self.faults, **self.helpers}.items()]
        figures = [f"| {name} | {value} |" for name, value in self.figures]
        lines = ["| | |", "|---|---|", *figures, "", STALL, "", "| Fault | Times |", "|---|--:|", *faults]
        if self.offences:
            lines += ["", "```", *self.offences, "```"]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> None:
        """JSON, and the same as markdown beside it."""
        values: dict[str, Any] = {
            **asdict(self),
            "good": self.verdict.good,
            "commit": commit() or "unknown",
            "machine": machine(),
        }
        path.write_text(json.dumps(values, indent=2, default=str) + "\n")
        path.with_suffix(".md").write_text(self.markdown())


def _shares(beside: Mapping[str, float]) -> str:
    return ", ".join(f"{trouble} {share:.0%}" for trouble, share in beside.items()) or "not measured"


def machine() -> str:
    """What it ran on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, Python {platform.python_version()}"
