"""Where commands write: a terminal, a pipe, or what a test puts in their place."""

import json
import re
import sys
from collections.abc import Iterable
from typing import IO, Literal, cast

from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..terminal import colored, safe

_WIDE = 10_000
"""Columns where nobody reads with eyes: a pipe gets whole lines."""


class _Stream:
    """Standard output or error of the moment: tests and callers may exchange it.

    A pipe gets lines without the spaces that fill a table: its reader wants the words.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def _now(self) -> "IO[str] | None":
        stream = getattr(sys, self._name)
        # While something moves on the screen, rich puts a stream in its place that writes to us: round and round.
        return cast("IO[str] | None", getattr(stream, "rich_proxied_file", stream))

    @property
    def encoding(self) -> str:
        """Rich draws by it."""
        return getattr(self._now, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        """Whether somebody reads it with eyes."""
        return self._now is not None and self._now.isatty()

    def fileno(self) -> int:
        """The number of its file: the width of a terminal is asked for by it."""
        return self._now.fileno() if self._now is not None else -1

    def write(self, text: str) -> int:
        """Write."""
        if self._now is not None:
            self._now.write(text if self.isatty() else re.sub(r" +$", "", text, flags=re.MULTILINE))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        if self._now is not None:
            self._now.flush()


class _Console(Console):
    """A console that lets through no control character, cuts nothing off and knows no markup.

    What is printed comes from providers, hosts and owners: their brackets mean nothing. A line that is too long is
    left to the terminal, so that ids stay whole.
    """

    def __init__(self, name: str) -> None:
        stream = _Stream(name)
        colors: Literal["auto"] | None = "auto" if colored(stream) else None
        super().__init__(
            file=cast("IO[str]", stream), color_system=colors, markup=False, highlight=False, emoji=False,
            soft_wrap=True,
        )  # fmt: skip

    @property
    def size(self) -> ConsoleDimensions:
        """Of the terminal; a pipe is as wide as anything."""
        return super().size if self.file.isatty() else ConsoleDimensions(_WIDE, 25)

    @size.setter
    def size(self, _new: tuple[int, int]) -> None:
        raise NotImplementedError

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, without what steers a terminal."""
        for each in super().render(renderable, options):
            yield each if each.control or each.text.isprintable() or each.text == "\n" else _harmless(each)


def _harmless(segment: Segment) -> Segment:
    return Segment("\n".join(map(safe, segment.text.split("\n"))), segment.style)


console = _Console("stdout")
errors = _Console("stderr")


def print_json(value: object, *, indent: int | None = 2) -> None:
    """A value of :func:`redrive.models.queries.plain` on standard output."""
    utf8 = console.encoding.startswith("utf")
    text = json.dumps(value, indent=indent, ensure_ascii=not utf8)
    # JSON leaves some characters as they are that would steer a terminal.
    sys.stdout.write("\n".join(_UNPRINTABLE.sub(_escaped, line) for line in text.split("\n")) + "\n")
    sys.stdout.flush()


_UNPRINTABLE = re.compile(r"[^\x20-\x7e]")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1]
