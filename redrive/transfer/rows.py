"""A row of a file, before anybody has looked at what it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in a row, by column.

    Attributes:
        number: the line it starts in.
        problem: why it is no row at all, '' when it is one.
    """

    number: int
    values: Mapping[str, Any]
    problem: str = ""
