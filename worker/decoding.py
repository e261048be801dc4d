"""The ways in which text can be written differently, undone: a secret may be in any of them.

A server that repeats what it was sent may have quoted it for a URL, escaped it for JSON or HTML, encoded it in base64
or hexadecimal, broken it into lines, or done several of these one after the other.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from html import unescape
from html.entities import html5
from typing import Final
from urllib.parse import unquote

BUDGET: Final = 64
"""How many times its own length a text may decode to. More layers than that are nobody's way of writing."""

SPARE: Final = 20_000
"""Letters more, of which short texts have use."""


class TooManyReadingsError(Exception):
    """The text decodes to more than anybody would write."""


def readings(text: str, least: int, *, words: bool = True) -> Iterator[str]:
    """The text, and every text that it decodes to, each once; those shorter than ``least`` are left out.

    With ``words``, encoded words are decoded, too, and not only escapes.

    Raises:
        TooManyReadingsError: when that would be too many.
    """
    seen, waiting, left = {text}, [text], BUDGET * len(text) + SPARE
    while waiting:
        view = waiting.pop()
        yield view
        for found in _decoded_once(view, least, words=words):
            if len(found) >= least and found not in seen:
                seen.add(found)
                waiting.append(found)
                left -= len(found)
        if left < 0:
            raise TooManyReadingsError


def _decoded_once(view: str, least: int, *, words: bool) -> Iterator[str]:
    joined = compact(view)
    yield joined  # an escape, too, may be broken into lines
    for undo in _ESCAPES:
        yield undo(view)
    if words and joined == view:  # otherwise it has its turn
        for decode in _ENCODINGS:
            yield decode(view, least)


def compact(text: str) -> str:
    """The text without its spaces and whatever cannot be seen."""
    joined = "".join(text.split())
    return joined if joined.isprintable() else "".join(filter(str.isprintable, joined))


# --- Escapes: the rest of the text stays as it is ------------------------------------------------------------------

_BACKSLASHED = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\x[0-9a-fA-F]{2}|\\[\"'\\/bfnrt]")
_CONTROLS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}

_SIGNS = {name.rstrip(";"): sign for name, sign in html5.items() if len(sign) == 1 and sign.isascii()}
_SHORT = re.compile(rf"&(?:#[xX]0*([2-7][0-9a-fA-F])|#0*(1[0-2][0-9]|[3-9][0-9])|({'|'.join(sorted(_SIGNS)[::-1])}));?")
"""Entities of ASCII signs as they are read where the semicolon is missing: no more digits than such a sign has."""


def _percent(text: str) -> str:
    return unquote(text, errors="replace") if "%" in text else text


def _form(text: str) -> str:
    """As forms are sent: a plus is a space, and spaces do not count."""
    return text.replace("+", "")


def _backslashes(text: str) -> str:
    return _BACKSLASHED.sub(_unescaped, text) if "\\" in text else text


def _unescaped(found: re.Match[str]) -> str:
    escape = found[0]
    if escape.startswith("\\u"):
        return bytes.fromhex(escape.replace("\\u", "")).decode("utf-16-be", "replace")
    if escape.startswith("\\x"):
        return bytes.fromhex(escape[2:]).decode("latin-1")
    return _CONTROLS.get(escape[1], escape[1])


def _entities(text: str) -> str:
    return unescape(text) if "&" in text else text


def _short_entities(text: str) -> str:
    return _SHORT.sub(_sign, text) if "&" in text else text


def _sign(found: re.Match[str]) -> str:
    hexadecimal, decimal, name = found.groups()
    return _SIGNS[name] if name else chr(int(hexadecimal, 16) if hexadecimal else int(decimal))


# --- Encodings of whole words: what is left is what they hold --------------------------------------------------------

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{4,}")
_HEX = re.compile(r"(?:0x)?[0-9a-fA-F]{4,}")
_STANDARD = str.maketrans("-_", "+/")


def _base64(text: str, least: int, *, offset: int) -> str:
    return _decoded(_BASE64.findall(text), 4 * least // 3, least, partial(_from_base64, offset=offset))


def _from_base64(word: str, offset: int) -> bytes:
    word = word[offset:].translate(_STANDARD)
    word = word[: len(word) - (len(word) % 4 == 1)]  # a single digit more says nothing
    return b64decode(word + "=" * (-len(word) % 4))


def _hexadecimal(text: str, least: int, *, offset: int) -> str:
    return _decoded(_HEX.findall(text), 2 * least, least, partial(_from_hex, offset=offset))


def _from_hex(word: str, offset: int) -> bytes:
    word = word.removeprefix("0x")[offset:]
    return bytes.fromhex(word[: len(word) // 2 * 2])


def _decoded(words: Iterable[str], longer_than: int, least: int, decode: Callable[[str], bytes]) -> str:
    """What the words hold as far as it is text: the parts stand apart from each other."""
    found = (decode(word).decode("utf-8", "replace") for word in words if len(word) >= longer_than)
    return "*".join(part for each in found for part in each.split("\ufffd") if len(part) >= least)


_ESCAPES: Final = (_percent, _form, _backslashes, _entities, _short_entities)

_ENCODINGS: Final[tuple[Callable[[str, int], str], ...]] = (
    # Where a word begins in what surrounds it is not known.
    *(partial(_base64, offset=offset) for offset in range(4)),
    *(partial(_hexadecimal, offset=offset) for offset in range(2)),
)
