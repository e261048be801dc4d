"""What a program made of a cell → what stood in it.

Spreadsheets, data frames, databases and hands do not hand on a value but their picture of it: ``="734"``, ``NULL``,
``7.34E17``, ``734,000``. Here a picture is read where it has one meaning only, and refused with the remedy where not.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from numbers import Integral
from typing import TypeGuard

from .refusal import refused

# Excel writes a text that looks like a number as ="734", or with an apostrophe before it; SQL puts it between two.
_WRAPPED = re.compile(r"""=?"(?P<quoted>[^"]*)"|'(?P<sql>[^']*)'|'(?P<text>.*)""", re.DOTALL)

_NO_VALUE = frozenset((
    "null", "nil", "none", "nan", "-nan", "nat", "na", "n/a", "n.a.", "undefined", "optional.empty", "-", "--", "\\n",
    "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind", "inf", "-inf", "infinity", "-infinity", "#getting_data", "#n/a n/a",
))  # fmt: skip
"""Programs' words for "there is no value here", without the brackets some put around them. They are not ids either."""

_BRACKETS = {"<": ">", "(": ")", "[": "]"}
_LONGEST_WORD = 2 + max(map(len, _NO_VALUE))
_ERROR = re.compile(r"#+|#[\u00a1\u00bf]?[^\W\d_]+(/[^\W_]+)?[!?]?")
"""A spreadsheet's errors, in any of its languages: ``#N/A``, ``#REF!``, ``#NV``, and a column too narrow."""


def read(row: Mapping[str, object]) -> dict[str, object]:
    """A row whose cells say what was meant; one without a value is None.

    Raises:
        BadInput: a cell holds a program's word for "no value".
    """
    return {name: _meant(name, value) for name, value in row.items()}


_SENTENCES = frozenset(("reason", "failure", "params"))
"""What says what it says, whatever that looks like."""


def _meant(field: str, value: object) -> object:
    if isinstance(value, str):
        return value if field in _SENTENCES else _text(field, value)
    # A data frame's gap is NaN or NaT: the only values that do not equal themselves.
    if isinstance(value, float | datetime) and value != value:  # noqa: PLR0124
        return None
    return int(value) if _is_whole(value) else value


def _text(field: str, value: str) -> str:
    text = unwrapped(value)
    if field != "account" and _says_no_value(text):  # an account may have any name
        remedy = "write the id the provider gave the task" if field == "external_id" else "leave the cell empty"
        raise refused(field, value, f"is a program's word for no value; {remedy}")
    return text


def _is_whole(value: object) -> TypeGuard[Integral | Decimal]:
    """Integers of numpy and a database's NUMERIC among them."""
    if isinstance(value, Decimal):
        return value.is_finite() and value == value.to_integral_value()
    return isinstance(value, Integral) and not isinstance(value, bool)


def unwrapped(text: str) -> str:
    """The text without spaces and without what marks it as text: ``="734"``, ``'734``, ``'734'``, ``"734"``."""
    text = text.strip()
    # Import calls this for every cell of millions of rows, and nearly all are plain.
    found = _WRAPPED.fullmatch(text) if text.startswith(("=", "'", '"')) else None
    return next(group for group in found.groups() if group is not None).strip() if found else text


def _says_no_value(text: str) -> bool:
    if text.startswith("#") and _ERROR.fullmatch(text) and text == text.upper():
        return True
    if not 0 < len(text) <= _LONGEST_WORD:
        return False
    inner = text[1:-1] if _BRACKETS.get(text[0]) == text[-1] else text
    return inner.strip().casefold() in _NO_VALUE


def _is_foreign(character: str) -> bool:
    """Digits, spaces, dashes and quotes of other scripts; letters only where they imitate ASCII, as full-width do."""
    return not character.isascii() and (not character.isalpha() or unicodedata.normalize("NFKC", character).isascii())


def _foreign(text: str) -> str:
    strange = None if text.isascii() else next(filter(_is_foreign, text), None)
    if strange is None:
        return ""
    plain = unicodedata.normalize("NFKC", text)
    instead = f"write it as {plain}" if plain.isascii() else "type it with the keys for ASCII"
    return f"holds {strange!r} (U+{ord(strange):04X}), which looks like another character; {instead}"


def _matches(pattern: str, words: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda text: words if compiled.fullmatch(text) else ""


_DISTORTIONS = (
    _foreign,
    # A point, a sign or a single digit before the E tells 7.34E17 from an id in hexadecimal that holds one e.
    _matches(
        r"[+-]?([0-9]+[.,][0-9]*[eE][+-]?[0-9]+|[0-9]+[eE][+-][0-9]+|[1-9][eE][12][0-9]|[0-9]+[.,]0*)",
        "a spreadsheet made a number of this id; format the column as text and export again",
    ),
    _matches(
        r"[0-9]{1,3}([ ,'][0-9]{2,3})+([.,][0-9]*)?|[0-9]{1,3}(\.[0-9]{3}){2,}(,[0-9]*)?|\$[0-9.,]+|[0-9.,]+%",
        "a program formatted this id as a number; format the column as text and export again",
    ),
    _matches(r"[0-9]{6,}([,;|/ ]+[0-9]{6,})+", "holds more than one id; write a row for each"),
    _matches(r"[+-][0-9.,]+", "begins with a sign; an id is not a number: write it without the sign"),
    _matches(r"=.*", "is a formula, not what it shows; export the values and not the formulas"),
    _matches(
        r"[\w.]*[(\[{].*[)\]}]|[bur]+'.*'",
        "is what a program wrote around an id; write the id that stands inside",
    ),
    _matches(r".*&(#?\w+);.*", "holds an HTML entity; write the character it stands for, or nothing"),
    _matches(r'.*".*', "holds a quote; write the id without quotes"),
)


def distortion(text: str) -> str:
    """Why an id is not what the provider gave, and what to do; '' where nothing speaks against it."""
    if text.isascii() and text.isdigit():
        return ""
    return next(filter(None, (found(text) for found in _DISTORTIONS)), "")
