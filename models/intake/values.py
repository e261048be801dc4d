"""One value that somebody handed in → the value that is stored.

What is wrong is a :class:`redrive.models.errors.BadInput` with field, value and remedy.

Values come from CSV (all text), JSON (typed) and Python alike; None and the empty text mean "not given".
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from . import cells
from .refusal import refused

LONGEST_ID = 255
LONGEST_REASON = 500
LARGEST_JSON = 64 * 1024
DEEPEST_JSON = 32
"""SQLite stops at 1000 levels, and a page of tasks is one JSON text of which each task is a part."""

_HIGHEST_ID = 10**LONGEST_ID
_WHOLE = re.compile(r"\s*(-?[0-9]{1,9})([.,]0*)?\s*")
"""A data frame that has gaps in a column of whole numbers writes 3 as 3.0."""
_EPOCH = re.compile(r"-?[0-9]+(\.[0-9]*)?")
# json.dumps writes a NUL like this; a backslash before it would make it six characters of text.
_NUL = re.compile(r"(?<!\\)(\\\\)*\\u0000")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known word that was probably meant, or all of them."""
    names = list(known)
    near = get_close_matches(word.lower(), names, n=1)
    return f"did you mean {near[0]}?" if near else f"must be one of {', '.join(name or repr('') for name in names)}"


def line(field: str, value: object, longest: int) -> str:
    """Text without line breaks and other things nobody sees, trimmed."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refused(field, value, "must be text")
    text = value.strip()
    if len(text) > longest:
        raise refused(field, text, f"has {len(text)} characters; at most {longest} are taken")
    if not text.isprintable():
        unseen = next(character for character in text if not character.isprintable())
        raise refused(field, text, f"holds a character that cannot be seen (U+{ord(unseen):04X}); remove it")
    return text


def identifier(field: str, value: object, *, digits: bool) -> str:
    """A provider's id, '' when not given. Whole numbers are taken as their digits."""
    if isinstance(value, float):
        raise refused(field, value, "a number with a fraction or exponent is not an id; write it in quotes, as text")
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _HIGHEST_ID:
        value = str(value)
    text = line(field, value, LONGEST_ID)
    if words := cells.distortion(text):
        raise refused(field, text, words)
    if digits and text and not (text.isascii() and text.isdigit()):
        raise refused(field, text, "must be all digits")
    return text


def choice(field: str, value: object, known: Iterable[str]) -> str:
    """One of the known words."""
    names = list(known)
    if not isinstance(value, str):
        raise refused(field, value, f"must be one of {', '.join(names)}")
    if (word := value.strip()) not in names:
        raise refused(field, value, did_you_mean(word, names))
    return word


def integer(field: str, value: object, lowest: int, highest: int) -> int | None:
    """A whole number within bounds; None when not given."""
    if value is None or value == "":
        return None
    words = f"must be a whole number from {lowest} to {highest}"
    if isinstance(value, str) and (whole := _WHOLE.fullmatch(value)):
        value = int(whole[1])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise refused(field, value, words)
    return value


def moment(field: str, value: object) -> datetime | None:
    """A moment in UTC; one without a zone is UTC already. None when not given."""
    if value is None or value == "":
        return None
    if isinstance(value, int | float) or (isinstance(value, str) and _EPOCH.fullmatch(value.strip())):
        raise refused(field, value, "a bare number is not a moment; write it as 2026-08-18T12:00:00Z")
    try:
        given = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).strip())
        at = given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise refused(field, value, "must be an ISO 8601 moment, such as 2026-08-18T12:00:00Z") from None
    if not datetime(1970, 1, 1, tzinfo=UTC) <= at < datetime(9999, 1, 1, tzinfo=UTC):
        raise refused(field, value, "must be a moment since 1970")
    return at


def words(field: str, value: object) -> str:
    """Free text, cut, without what no database keeps."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refused(field, value, "must be text")
    storable = value[: 2 * LONGEST_REASON].replace("\0", "").encode("utf-8", "replace").decode()
    return storable.strip()[:LONGEST_REASON]


def json_decoder(twice: list[str]) -> json.JSONDecoder:
    """A decoder for JSON of others.

    Args:
        twice: gets the names that an object says twice: nobody knows which of the values is meant.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice.extend(name for name in found if names.count(name) > 1)
        return found

    # Python reads no number of more than 4300 digits; as text it is refused like any other.
    return json.JSONDecoder(object_pairs_hook=once, parse_int=lambda n: int(n) if len(n) <= LONGEST_ID else n)


def json_object(field: str, value: object) -> dict[str, Any]:
    """A JSON object, from itself or from its text; {} when not given."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return {}
    twice: list[str] = []
    try:
        parsed = json_decoder(twice).decode(value) if isinstance(value, str) else value
        text = json.dumps(parsed, allow_nan=False, ensure_ascii=False)
        size, depth = len(text.encode()), _depth(parsed)
    except (TypeError, ValueError, RecursionError):
        raise refused(field, value, 'must be a JSON object, such as {"workspace_id": "123"}') from None
    if not isinstance(parsed, Mapping):
        raise refused(field, value, 'must be a JSON object, such as {"workspace_id": "123"}')
    if twice:
        raise refused(field, value, f"says {twice[0]!r} twice; keep one of them")
    if size > LARGEST_JSON or depth > DEEPEST_JSON or _NUL.search(text):
        limits = f"at most {LARGEST_JSON // 1024} KiB and {DEEPEST_JSON} levels deep, without NUL characters"
        raise refused(field, value, f"must be {limits}")
    stored: dict[str, Any] = json.loads(text)
    return stored


def _depth(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return 1 + max(map(_depth, inner), default=0)
