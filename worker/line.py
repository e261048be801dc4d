"""Which batch of an account asks for the next permit of a path: one after the other, in the order they came.

Else all that wait for one path would ask the database at each of its moments, and all but one in vain.
"""

import asyncio
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in the line before a path; ``come`` is done once it is the first."""

    path: tuple[str, str]
    come: asyncio.Future[None]


class PathLines:
    """The lines before all paths of accounts, for one event loop.

    Accounts that share a path do not stand in one line: one that waits for its own connections would hold up another.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[str, str], deque[Turn]] = {}

    def join(self, path: tuple[str, str]) -> Turn:
        """Stand behind all who wait already."""
        turn = Turn(path, asyncio.get_running_loop().create_future())
        line = self._lines.setdefault(path, deque())
        line.append(turn)
        _call_first(line)
        return turn

    def leave(self, turn: Turn) -> None:
        """Let the next one ask."""
        line = self._lines[turn.path]
        line.remove(turn)
        if line:
            _call_first(line)
        else:
            del self._lines[turn.path]


def _call_first(line: deque[Turn]) -> None:
    if not line[0].come.done():
        line[0].come.set_result(None)
