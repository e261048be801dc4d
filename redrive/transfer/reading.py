"""A text → rows, whichever of the two formats it has."""

from collections.abc import Iterator
from itertools import chain
from typing import IO

from .csv_rows import csv_rows
from .json_rows import json_rows
from .lines import NOT_UTF8, UnusableFile, first_line, is_readable, read_lines
from .rows import Row

JSON_SUFFIXES = (".jsonl", ".ndjson")
"""Of JSON lines."""


def read_rows(text: IO[str], name: str) -> Iterator[Row]:
    """The rows of a text: JSON where its name or its first character says so, CSV otherwise.

    Args:
        text: see :func:`redrive.transfer.opening.text_of`.
        name: the file's.

    Raises:
        UnusableFile: when it is neither.
    """
    first = first_line(text)
    if first is not None and not is_readable(first.text):
        raise UnusableFile(NOT_UTF8)
    if (first is not None and first.text.lstrip().startswith(("{", "["))) or _says_json(name):
        return json_rows(text, first.text if first else "", first.number if first else 1)
    return csv_rows(chain([first], read_lines(text, first.number + 1)) if first else iter(()))


def _says_json(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith((*JSON_SUFFIXES, ".json"))
