"""A file as numbered lines of text, one at a time, however large it is and whatever stands in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import count
from typing import IO

from models.errors import BadInput

LONGEST = 2**18
"""Characters in one row: several times what the largest task takes."""

NOT_UTF8 = "is not UTF-8 text; save the file as UTF-8"


class UnusableFile(BadInput):
    """Nothing of the file can be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end. Line 1 is the first.

    Attributes:
        whole: False: it is longer than :data:`LONGEST`, and only its beginning is here.
    """

    number: int
    text: str
    whole: bool = True

    @property
    def readable(self) -> bool:
        """Whether it is UTF-8: a byte that is not was read as half a surrogate, which UTF-8 has no form for."""
        return self.text.isascii() or not any("\ud800" <= character <= "\udfff" for character in self.text)


@contextmanager
def text_of(stream: IO[bytes]) -> Iterator[IO[str]]:
    """The stream as text for :func:`read_lines`, without a byte-order mark. The stream stays open."""
    text = TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield text
    finally:
        text.detach()


def read_lines(text: IO[str]) -> Iterator[Line]:
    """The lines of a text; any of the three line ends ends a line."""
    for number in count(1):
        line = text.readline(LONGEST)
        if not line:
            return
        if whole := len(line) < LONGEST or line.endswith(("\n", "\r")):
            yield Line(number, line)
            continue
        rest = line
        while rest and not rest.endswith(("\n", "\r")):
            rest = text.readline(LONGEST)
        yield Line(number, line, whole)
