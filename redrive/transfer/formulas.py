"""Cells that a spreadsheet would run as a formula, and the apostrophe that keeps it from doing so.

The two directions undo each other for every text, also where an apostrophe stood there before.
"""

import re

_STARTS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"
_RUNS = re.compile(rf"'*{_STARTS}")
_APOSTROPHES = re.compile(rf"'+{_STARTS}")


def written(cell: str, *, safe: bool) -> str:
    """The cell as a file says it; ``safe``: no spreadsheet runs it."""
    return f"'{cell}" if (_RUNS if safe else _APOSTROPHES).match(cell) else cell


def meant(cell: str) -> str:
    """The cell that was written."""
    return cell[1:] if _APOSTROPHES.match(cell) else cell
