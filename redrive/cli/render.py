"""What screens are made of: tables that fit their terminal, paragraphs, and small things in them.

Names, ids and numbers are always whole: what does not fit is left out, put on lines of its own, or left to the terminal
to wrap.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from redrive.models.explain.words import ago, ahead

from ..terminal import safe

STYLES = {
    "failed": "yellow",
    "canceled": "yellow",
    "in_flight": "cyan",
    "retrying": "cyan",
    "unknown": "magenta",
    "held": "magenta",
    "succeeded": "green",
    "dead": "red",
}
"""What a status looks like on a terminal."""

GAP = 2
"""Spaces between columns."""

FEWEST_WORDS = 24
"""Columns that prose needs beside whole ones; with less it goes below them."""

NOTHING = "·"


Cell = str | Text
"""Plain text, or one in a style: that costs more, and there may be thousands of lines."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a grid.

    Attributes:
        right: numbers end at the right.
        names: what a line is about: it stands on top where a line of the grid does not fit.
        prose: may be folded; everything else stands whole.
        spare: prose of which one line is enough, and none where there is no room.
    """

    heading: str
    right: bool = False
    names: bool = False
    prose: bool = False
    spare: bool = False


class Grid:
    """Lines of cells: a table where one fits, without its empty columns where that fits, else a few lines for each."""

    def __init__(self, columns: Sequence[Column], title: str = "") -> None:
        self._columns = columns
        self._title = title
        self._rows: list[list[Cell]] = []

    def add(self, *cells: Cell) -> None:
        """Add a line."""
        self._rows.append([safe(each) if isinstance(each, str) else each for each in cells])

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as there is room."""
        if self._title:
            yield Text(self._title, "bold")
        natural = [self._natural(place) for place in range(len(self._columns))]
        used = [place for place in self._places if any(not _is_empty(row[place]) for row in self._rows)]
        whole = [place for place in used if not self._columns[place].spare]
        for places in (self._places, used, whole):
            if self._width(places, natural) <= options.max_width:
                yield from self._drawn(console, places, natural, options.max_width)
                return
        for row in self._rows:
            yield from self._lines(row, used, options.max_width)

    @property
    def _places(self) -> list[int]:
        return list(range(len(self._columns)))

    def _natural(self, place: int) -> int:
        return max(cell_len(self._columns[place].heading), *(_width_of(row[place]) for row in self._rows), 0)

    def _folds(self, place: int) -> bool:
        return self._columns[place].prose or self._columns[place].spare

    def _least(self, place: int, natural: Sequence[int]) -> int:
        return min(natural[place], FEWEST_WORDS) if self._folds(place) else natural[place]

    def _width(self, places: Sequence[int], natural: Sequence[int]) -> int:
        return sum(self._least(place, natural) for place in places) + GAP * (len(places) - 1)

    def _drawn(
        self, console: Console, places: Sequence[int], natural: Sequence[int], width: int
    ) -> Iterator[RenderableType | Segment]:
        """The table: rich's where cells have to be folded. Else lines of our own, for there may be thousands."""
        if any(map(self._folds, places)):
            yield self._table(places, natural, width)
            return
        headings: list[Cell] = [Text(column.heading, "bold") for column in self._columns]
        for row in (headings, *self._rows):
            yield from self._line(console, row, places, natural)

    def _line(
        self, console: Console, row: Sequence[Cell], places: Sequence[int], natural: Sequence[int]
    ) -> Iterator[Segment]:
        plain = ""
        for place in places:
            cell, gap = row[place], " " * GAP if place != places[0] else ""
            spaces = " " * (natural[place] - _width_of(cell))
            before, after = (gap + spaces, "") if self._columns[place].right else (gap, spaces)
            if isinstance(cell, str):
                plain += before + cell + after
            else:
                yield Segment(plain + before)
                yield from _parts(console, cell)
                plain = after
        yield Segment(plain)
        yield Segment.line()

    def _table(self, places: Sequence[int], natural: Sequence[int], width: int) -> Table:
        room = width - self._width(places, natural)
        table = Table(box=None, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False)
        for place in places:
            column, least = self._columns[place], self._least(place, natural)
            mine = min(natural[place], least + room)
            room -= mine - least
            table.add_column(
                column.heading, justify="right" if column.right else "left", width=mine, no_wrap=not column.prose,
                overflow="ellipsis" if column.spare else "fold", style="dim" if column.spare else "",
            )  # fmt: skip
        for row in self._rows:
            table.add_row(*(Text.assemble(row[place]) for place in places))  # not plain: brackets mean nothing
        return table

    def _lines(self, row: Sequence[Cell], places: Sequence[int], width: int) -> Iterator[RenderableType]:
        """One line of the grid on several: its names, its values with their headings, its prose."""
        said = [place for place in places if not _is_empty(row[place])]
        yield Text.assemble(*self._named(row, said))
        values = [place for place in said if not self._columns[place].names]
        folded = [place for place in values if self._columns[place].prose]
        spare = [place for place in values if self._columns[place].spare]
        yield Pairs([self._pair(row, place) for place in values if place not in {*folded, *spare}])
        yield from (Paragraph(self._pair(row, place), indent=GAP) for place in folded)
        for place in spare:
            line = Text.assemble(" " * GAP, self._pair(row, place))
            line.truncate(width, overflow="ellipsis")
            yield line

    def _named(self, row: Sequence[Cell], places: Sequence[int]) -> Iterator[Cell]:
        """What the lines are about."""
        for nth, place in enumerate(place for place in places if self._columns[place].names):
            yield " " * GAP if nth else ""
            yield row[place]

    def _pair(self, row: Sequence[Cell], place: int) -> Text:
        return Text.assemble((f"{self._columns[place].heading} ", "dim"), row[place])


def _plain(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell.plain


def _is_empty(cell: Cell) -> bool:
    return _plain(cell) in {"", NOTHING}


def _width_of(cell: Cell) -> int:
    plain = _plain(cell)
    return len(plain) if plain.isascii() else cell_len(plain)


def _parts(console: Console, text: Text) -> Iterable[Segment]:
    """A text that stands on one line: where one style is all it has, it needs none of rich's work."""
    return text.render(console) if text.spans else [Segment(text.plain, console.get_style(text.style))]


class Pairs:
    """Short texts one after the other, as many on a line as fit."""

    def __init__(self, pairs: Iterable[Text]) -> None:
        self._pairs = list(pairs)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw them."""
        at = 0
        for each in self._pairs:
            if at and at + GAP + 1 + _width_of(each) > options.max_width:
                yield Segment.line()
                at = 0
            gap = GAP + 1 if at else GAP
            yield Segment(" " * gap)
            yield from _parts(console, each)
            at += gap + _width_of(each)
        if at:
            yield Segment.line()


class Paragraph:
    """Text wrapped between words; a word that is longer than a line is left to the terminal.

    Args:
        text: what it says.
        indent: spaces before each line.
        heading: stands before the first line; the others begin below its end.
    """

    def __init__(self, text: str | Text, *, indent: int = 0, heading: str = "") -> None:
        self._text = text.copy() if isinstance(text, Text) else Text(safe(text))
        # As an argument of `wrap` it would mean that nothing is wrapped.
        self._text.overflow = "ignore"
        self._first = " " * indent + heading
        self._other = " " * cell_len(self._first)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw it."""
        room = max(options.max_width - len(self._other), 1)
        for number, line in enumerate(self._text.wrap(console, room, no_wrap=False)):
            line.rstrip()
            yield Text.assemble((self._other if number else self._first, "dim"), line)


def number(n: int, style: str = "") -> Cell:
    """A count; nothing to see where there is nothing."""
    if not n:
        return _NONE
    return Text(f"{n:,}", style) if style else f"{n:,}"


_NONE = Text(NOTHING, "dim")


def status_text(status: str, dead_reason: str | None = None) -> Text:
    """A status in its colour."""
    return Text(f"{status} ({dead_reason})" if dead_reason else status, STYLES.get(status, ""))


def moment(at: datetime | None, now: datetime) -> str:
    """When, seen from now: ``in 3 min 12 s (…)``, ``3 min 12 s ago``."""
    if at is None:
        return ""
    return ahead(at, now) if at > now else ago(at, now)
