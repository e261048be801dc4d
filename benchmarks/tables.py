"""What was measured, as tables for people: in Markdown, with targets and whether they were met."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isnan

Cell = str | float | int


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that was promised: met where ``found`` is at least (or at most) ``wanted``."""

    what: str
    found: float
    wanted: float
    at_most: bool = False
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.found <= self.wanted if self.at_most else self.found >= self.wanted

    def __str__(self) -> str:
        sign, verdict = "≤" if self.at_most else "≥", "met" if self.met else "**not met**"
        return f"{self.what}: {shown(self.found)}{self.unit}, target {sign} {shown(self.wanted)}{self.unit}: {verdict}"


@dataclass(frozen=True, slots=True)
class Table:
    """One measurement.

    Attributes:
        name: of the measurement, for files.
        bars: the column that its picture shows, by its number.
        notes: the settings, and what the reader must know.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    targets: Sequence[Target] = ()
    notes: Sequence[str] = ()
    bars: int = 1
    lines: dict[str, Sequence[tuple[float, float]]] = field(default_factory=dict)

    def markdown(self) -> str:
        parts = [f"## {self.title}", "", _row(self.columns), _row("---" for _ in self.columns)]
        parts += [_row(shown(cell) for cell in row) for row in self.rows]
        parts += ["", *(f"- {target}" for target in self.targets)] if self.targets else []
        parts += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(parts) + "\n"


def shown(value: Cell) -> str:
    """A number with as many digits as mean something, and a dash for what is not a number."""
    if isinstance(value, str | int):
        return f"{value:,}" if isinstance(value, int) else value
    if isnan(value):
        return "-"
    size = abs(value)
    digits = next(digits for digits, least in ((0, 100), (1, 10), (2, 1), (3, 0.1), (4, 0)) if size >= least)
    return f"{value:,.{digits}f}"


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
