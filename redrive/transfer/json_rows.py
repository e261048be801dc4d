"""JSON lines → rows."""

import json
from collections.abc import Iterator
from json import JSONDecodeError

from .columns import TOLD
from .lines import LONGEST, NOT_UTF8, Line
from .rows import Row


def json_rows(lines: Iterator[Line]) -> Iterator[Row]:
    """A row for each line that is not blank."""
    for line in lines:
        if not line.text.isspace():
            yield _row(line)


def _row(line: Line) -> Row:
    if not line.whole:
        return Row(line.number, {}, f"is longer than {LONGEST:,} characters")
    if not line.readable:
        return Row(line.number, {}, NOT_UTF8)
    try:
        found = json.loads(line.text)
    except JSONDecodeError as error:
        return Row(line.number, {}, f"is not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError):
        return Row(line.number, {}, "is JSON with a number too long or nested too deeply")
    if not isinstance(found, dict):
        return Row(line.number, {}, 'is not a JSON object, such as {"account": "phones", "external_id": "591"}')
    return Row(line.number, {name: value for name, value in found.items() if name not in TOLD})
