"""A file → rows, whichever of the two formats it has."""

from collections.abc import Iterator
from itertools import chain
from typing import IO

from .csv_rows import csv_rows
from .json_rows import json_rows
from .lines import Line, UnusableFile, read_lines
from .rows import Row

JSON_SUFFIXES = (".jsonl", ".ndjson")


def read_rows(text: IO[str], name: str) -> Iterator[Row]:
    """The rows of a text: JSON lines where its name or its first character says so, CSV otherwise.

    Args:
        text: see :func:`redrive.transfer.lines.text_of`.
        name: the file's.

    Raises:
        UnusableFile: when it is neither.
    """
    lines = read_lines(text)
    begin: list[Line] = []
    for line in lines:
        begin.append(line)
        if not line.text.isspace():
            break
    first = begin[-1].text.lstrip() if begin else ""
    if first.startswith("["):
        raise UnusableFile("is a JSON array; write one object per line, without the brackets around them")
    if begin and (not begin[-1].readable or "\0" in first):
        raise UnusableFile("is not UTF-8 text; save it as CSV UTF-8 or as JSON lines")
    whole = chain(begin[-1:], lines)
    return json_rows(whole) if first.startswith("{") or name.lower().endswith(JSON_SUFFIXES) else csv_rows(whole)
