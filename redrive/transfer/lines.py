"""A text as numbered lines, one at a time, however large it is and whatever stands in it."""

from collections.abc import Iterator
from typing import IO, NamedTuple

from redrive.models.errors import BadInput

LONGEST = 2**18
"""Characters in one row: several times what the largest task takes."""

TOO_LONG = f"is longer than {LONGEST:,} characters"

NOT_UTF8 = 'is not UTF-8 text; save the file as UTF-8 (Excel: "CSV UTF-8"), or convert it with iconv -t UTF-8'


class UnusableFile(BadInput):
    """Nothing more of the file can be taken; the message says why."""


class Line(NamedTuple):
    """One line with its end. Line 1 is the first.

    Attributes:
        whole: False: it is longer than :data:`LONGEST`, and only its beginning is here.
    """

    number: int
    text: str
    whole: bool = True


def is_readable(text: str) -> bool:
    """Whether it was UTF-8: a byte that was not became half a surrogate, which UTF-8 has no form for."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def read_lines(text: IO[str], number: int = 1) -> Iterator[Line]:
    """The lines of a text, the first of them being line ``number``; any of the three line ends ends a line."""
    while line := text.readline(LONGEST):
        if len(line) < LONGEST or line.endswith(("\n", "\r")):
            yield Line(number, line)
        else:
            _skip_line(text, line)
            yield Line(number, line, whole=False)
        number += 1


def first_line(text: IO[str]) -> Line | None:
    """The first line that is not blank. Millions of blank ones before it cost no memory and little time."""
    number, blank = 1, ""
    while (blank := text.readline(LONGEST)).isspace():
        number += blank.endswith(("\n", "\r"))
    if not blank:
        return None
    whole = len(blank) < LONGEST or blank.endswith(("\n", "\r"))
    return Line(number, blank, whole)


def _skip_line(text: IO[str], rest: str) -> None:
    while rest and not rest.endswith(("\n", "\r")):
        rest = text.readline(LONGEST)
