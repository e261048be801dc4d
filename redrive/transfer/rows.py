"""A row of a file, before anything in it is checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Row:
    """What stands in a row, by column.

    Attributes:
        number: the line it starts in.
        values: what an import reads of it.
        source: its text as it stood in the file; of a row too long its beginning.
        form: how such rows are written again.
        problem: why it cannot be a row at all, '' when it is one.
    """

    number: int
    values: Mapping[str, Any]
    source: str
    form: "Form"
    problem: str = ""


class Form(Protocol):
    """How a file writes refused rows, each with the reason, so that they can be repaired and imported again."""

    def head(self) -> str:
        """What comes before all rows."""

    def refused(self, row: Row, why: str) -> str:
        """A row."""
