"""Standard streams as a command needs them, whatever the shell has made of them.

A closed one leads nowhere, a character that the encoding lacks is replaced, and a reader that has enough is not an
error: what only shows something ends there with 0, what changes something goes on unread.
"""

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import typer

Data: TypeAlias = bytes | bytearray | memoryview

REPLACE = "redrive.replace"
"""The name of the rule for characters that an encoding lacks."""

_ALIKE = {"·": ".", "–": "-", "—": "-", "→": ">", "…": "~"}  # noqa: RUF001 - these are what is meant
"""As wide as what they stand for: they may stand in a table."""


def prepare() -> None:
    """Replace the standard streams of this process; once, before anything is read or written."""
    for number in range(3):
        _open_if_closed(number)
    codecs.register_error(REPLACE, _replaced)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the whole run
    eager = os.isatty(1) or getattr(sys.stdout, "write_through", False)  # as PYTHONUNBUFFERED makes it
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout, line_buffering=eager)
    sys.stderr = _text(_Errors(2, "w", closefd=False), sys.stderr, line_buffering=True)


def _open_if_closed(number: int) -> None:
    """Or the next file that is opened, perhaps the database, gets the number and what is printed with it."""
    try:
        os.fstat(number)
    except OSError:
        os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one


def _text(raw: io.RawIOBase, old: object, *, line_buffering: bool) -> io.TextIOWrapper:
    encoding = getattr(old, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding=encoding, errors=REPLACE, line_buffering=line_buffering)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_ALIKE.get(each, "?") for each in error.object[error.start : error.end]), error.end


class _Output(io.FileIO):
    """Standard output, below all that writes to it."""

    unread_is_fine = False
    _gone = False

    def write(self, data: Data, /) -> int:  # type: ignore[override]  # a buffered writer hands over nothing else
        """Write, unless a write failed before: that was reported then, and is not reported again."""
        if self._gone:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._gone = True
            if not isinstance(error, BrokenPipeError):
                raise
        if not self.unread_is_fine:
            raise typer.Exit(0)
        return memoryview(data).nbytes


class _Errors(io.FileIO):
    """Standard error: nowhere is left to say that it cannot be written."""

    def write(self, data: Data, /) -> int:  # type: ignore[override]  # a buffered writer hands over nothing else
        """Write, or not."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


@contextmanager
def unread() -> Iterator[None]:
    """Go on with the work while nobody reads what it says."""
    before, _Output.unread_is_fine = _Output.unread_is_fine, True
    try:
        yield
    finally:
        _Output.unread_is_fine = before
