"""The word that tests of this directory keep: no network, no database."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

OUTSIDE = ("socket.bind", "socket.connect", "socket.sendto", "sqlite3.connect")

_seen: list[str] | None = None
"""What the test that runs did outside of its process; None where that is no matter of ours."""


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Noted and not refused: an error raised here may be one that the code under test survives."""
    if _seen is not None and event in OUTSIDE:
        _seen.append(f"{event}{arguments[1:] if event.startswith('socket.') else arguments}")


sys.addaudithook(_note)


@pytest.fixture(autouse=True)
def _inside() -> Iterator[None]:
    """The test stays within its process; one that cannot belongs into another directory."""
    global _seen  # noqa: PLW0603 - a hook cannot be taken away again
    _seen = seen = []
    yield
    _seen = None
    assert seen == [], "tests/unit uses no network and no database: see CONTRIBUTING.md for where this test belongs"
