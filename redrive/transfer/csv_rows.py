"""CSV → rows. A broken row costs itself; reading goes on at the next line."""

import csv
from collections import deque
from collections.abc import Iterator

from models import intake
from models.errors import BadInput

from .columns import TOLD
from .lines import LONGEST, NOT_UTF8, Line, UnusableFile
from .rows import Row

_BROKEN = 'has a quote that is not closed or not doubled; inside a quoted field a quote is written ""'
_MOST_LINES = 100
"""Lines of one row. A quote left open would otherwise swallow the rows after it, up to the next one left open."""

_TOO_LONG = f"is longer than {LONGEST:,} characters"


def csv_rows(lines: Iterator[Line]) -> Iterator[Row]:
    """The rows under the header, each with the number of the line it starts in.

    Raises:
        UnusableFile: when there is no header, or not the right one.
    """
    records = _records(lines)
    header = _header(next(records, None))
    for number, cells in records:
        if isinstance(cells, str):
            yield Row(number, {}, cells)
        elif len(cells) != len(header):
            yield Row(number, {}, f"has {len(cells)} columns where the header has {len(header)}")
        else:
            row = zip(header, cells, strict=True)
            yield Row(number, {name: cell for name, cell in row if name not in TOLD})


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
        line = self._again.popleft() if self._again else next(self._lines)
        self.record.append(line)
        self._size += len(line.text)
        if self._size > LONGEST or len(self.record) > _MOST_LINES or not line.whole:
            raise csv.Error(_TOO_LONG)
        return line.text

    def begin(self) -> None:
        """The next line begins a record."""
        self.record, self._size = [], 0

    def back(self) -> None:
        """All but the record's first line are to come again."""
        self._again.extendleft(reversed(self.record[1:]))


def _records(lines: Iterator[Line]) -> Iterator[tuple[int, list[str] | str]]:
    """The line a record starts in, and its cells or what is wrong with it. Blank lines are skipped."""
    feed = _Feed(lines)
    parser = csv.reader(feed, strict=True)
    while True:
        feed.begin()
        try:
            cells = next(parser)
        except StopIteration:
            return
        except csv.Error:
            first, alone = feed.record[0], len(feed.record) == 1
            yield first.number, _TOO_LONG if alone and not first.whole else _BROKEN
            feed.back()
            parser = csv.reader(feed, strict=True)
            continue
        if cells:
            yield feed.record[0].number, cells if all(line.readable for line in feed.record) else NOT_UTF8


def _header(first: tuple[int, list[str] | str] | None) -> list[str]:
    if first is None:
        raise UnusableFile("is empty; its first line must name the columns, such as account,external_id,status")
    if isinstance(first[1], str):
        raise UnusableFile(f"line {first[0]} {first[1]}; it must name the columns")
    names = [name.strip() for name in first[1]]
    _refuse_other_delimiters(names)
    try:
        intake.refuse_unknown(name for name in names if name not in TOLD)
    except BadInput as error:
        raise UnusableFile(f"line {first[0]}: {error}") from None
    if missing := [name for name in intake.NEEDED if name not in names]:
        raise UnusableFile(f"line {first[0]}: has no column {' and no column '.join(missing)}")
    if twice := {name for name in names if names.count(name) > 1}:
        raise UnusableFile(f"line {first[0]}: names {min(twice)} twice")
    return names


def _refuse_other_delimiters(names: list[str]) -> None:
    for mark, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(names) == 1 and mark in names[0]:
            raise UnusableFile(f"has {word} between its columns; save it with commas")
