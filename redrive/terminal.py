"""What a terminal may be sent: text that cannot steer it, and colours only where somebody wants them."""

import os
from typing import Protocol


class Stream(Protocol):
    """Anything that knows whether it is a terminal."""

    def isatty(self) -> bool:
        """Whether it is one."""


def safe(text: str) -> str:
    r"""Somebody else's text on one line: spaces for what breaks lines, ``\x1b`` and the like for what steers."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


def colored(stream: Stream | None) -> bool:
    """Whether what is written there may have colours: https://no-color.org, and FORCE_COLOR for the opposite."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
