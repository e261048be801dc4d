"""CSV → rows. A broken row costs itself; reading goes on at the next line."""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from redrive.models import intake
from redrive.models.errors import BadInput
from redrive.models.intake.cells import unwrapped

from .columns import REFUSAL, SKIPPED
from .formulas import meant
from .lines import LONGEST, NOT_UTF8, TOO_LONG, Line, UnusableFile, is_readable
from .rows import Row

_BROKEN = 'has a quote that is not closed or not doubled; inside a quoted field a quote is written ""'
_EMPTY = "is empty; its first line must name the columns, such as account,external_id,status"
_MOST_LINES = 100
"""Lines of one row. A quote left open would otherwise swallow the rows after it, up to the next one left open."""

_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
"""What tells Excel how the columns are separated."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What the parser takes for one row: its cells, or why it has none."""

    number: int
    source: str
    cells: Sequence[str]
    problem: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.problem and not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True, slots=True)
class CsvForm:
    """Refused rows as they stood in the file, behind a column that says why."""

    delimiter: str
    header: str
    has_refusals: bool

    def head(self) -> str:
        """The header, behind what only a first line can say."""
        said = "" if self.delimiter in _DELIMITERS else f"sep={self.delimiter}\n"
        return said + self._behind(REFUSAL, self.header)

    def refused(self, row: Row, why: str) -> str:
        """A row."""
        return self._behind(why, row.source)

    def _behind(self, words: str, source: str) -> str:
        quoted = '"{}"'.format(words.replace('"', '""'))
        return f"{quoted}{self.delimiter}{self._bare(source)}\n"

    def _bare(self, source: str) -> str:
        """Without the reason of the last time."""
        source = source.strip("\r\n")
        if not self.has_refusals:
            return source
        return re.sub(rf'\A *("([^"]|"")*"|[^"{re.escape(self.delimiter)}]*){re.escape(self.delimiter)}', "", source)


def csv_rows(lines: Iterator[Line]) -> Iterator[Row]:
    """The rows under the header, each with the number of the line it starts in. Empty rows are skipped.

    Raises:
        UnusableFile: when there is no header, or not the right one.
    """
    feed = _Feed(lines)
    delimiter = _delimiter(feed)
    records = (record for record in _records(feed, delimiter) if not record.is_blank)
    first = next(records, None)
    header = _header(first)
    form = CsvForm(delimiter, first.source if first else "", has_refusals=header[0] == REFUSAL)
    for record in records:
        problem = record.problem or _misfit(header, record.cells)
        pairs = zip(header, record.cells, strict=False) if not problem else ()
        values = {name: meant(cell) for name, cell in pairs if name and name not in SKIPPED}
        yield Row(record.number, values, record.source, form, problem)


def _misfit(header: Sequence[str], cells: Sequence[str]) -> str:
    """Why the cells do not stand under the header.

    Empty cells too many are a spreadsheet's, and numbers in a first column without a name are a data frame's index.
    """
    if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
        return f"has {len(cells)} columns where the header has {len(header)}"
    for number, (name, cell) in enumerate(zip(header, cells, strict=False), start=1):
        if not name and cell.strip() and not (number == 1 and cell.isdecimal()):
            return f"holds {cell.strip()[:60]!r} in column {number}, which has no name; name the column or delete it"
    return ""


class _Feed:
    """Lines for the CSV parser, which says by what it takes where each record ends."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self.record: list[Line] = []
        self._size = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._line()
        while not self.record and line.text.isspace():
            line = self._line()
        self.record.append(line)
        self._size += len(line.text)
        if self._size > LONGEST or len(self.record) > _MOST_LINES or not line.whole:
            raise csv.Error(TOO_LONG)
        return line.text

    def _line(self) -> Line:
        return self._again.popleft() if self._again else next(self._lines)

    def begin(self) -> None:
        """The next line begins a record, unless it is blank."""
        self.record, self._size = [], 0

    def back(self, keep: int = 1) -> None:
        """All but the record's first lines are to come again."""
        self._again.extendleft(reversed(self.record[keep:]))
        del self.record[keep:]


def _delimiter(feed: _Feed) -> str:
    """What separates the columns: what the first line says, or what makes the most names of it that are known."""
    try:
        line = next(feed)
    except StopIteration:
        raise UnusableFile(_EMPTY) from None
    except csv.Error:
        line = ""
    if said := _SEPARATOR_LINE.fullmatch(line):
        return said[1]
    feed.back(0)
    known = {*intake.COLUMNS, *SKIPPED}
    return max(_DELIMITERS, key=lambda mark: sum(_name(cell) in known for cell in line.split(mark)))


def _records(feed: _Feed, delimiter: str) -> Iterator[_Record]:
    """Every record, also what is none."""

    def parser() -> Iterator[list[str]]:
        # Spaces before a quoted cell mean nothing: without this the quotes would be part of the cell.
        return csv.reader(feed, delimiter=delimiter, skipinitialspace=True, strict=True)

    parsed = parser()
    while True:
        feed.begin()
        try:
            cells = next(parsed)
        except StopIteration:
            return
        except csv.Error:
            alone = len(feed.record) == 1
            feed.back()
            parsed = parser()
            first = feed.record[0]
            yield _Record(first.number, first.text, (), TOO_LONG if alone and not first.whole else _BROKEN)
            continue
        source = "".join(line.text for line in feed.record)
        yield _Record(feed.record[0].number, source, cells, "" if is_readable(source) else NOT_UTF8)


def _name(cell: str) -> str:
    """A column's; some databases write it in capitals, and pandas calls one without a name ``Unnamed: 0``."""
    name = unwrapped(cell).casefold()
    return "" if re.fullmatch(r"unnamed: [0-9]+", name) else name


def _header(first: _Record | None) -> list[str]:
    if first is None:
        raise UnusableFile(_EMPTY)
    if first.problem:
        raise UnusableFile(f"line {first.number} {first.problem}; it must name the columns")
    names = [_name(cell) for cell in first.cells]
    try:
        intake.refuse_unknown(name for name in names if name and name not in SKIPPED)
    except BadInput as error:
        raise UnusableFile(f"line {first.number}: {error}") from None
    if missing := [name for name in intake.NEEDED if name not in names]:
        raise UnusableFile(f"line {first.number}: has no column {' and no column '.join(missing)}")
    if twice := {name for name in names if name and name not in SKIPPED and names.count(name) > 1}:
        raise UnusableFile(f"line {first.number}: names {min(twice)} twice")
    return names
