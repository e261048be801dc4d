"""No secret in anything that is stored, shown or logged, however a provider writes it.

Lists of spellings have gaps, so texts are compared by what they decode to: a text is clean when no reading of it (see
:mod:`.decoding`), without regard to spaces and case, holds a secret.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, TypeVar, overload

from redrive.models.outcome import CheckResult, Outcome

from .decoding import TooManyReadingsError, compact, readings

Worded = TypeVar("Worded", bound=Outcome | CheckResult)

KEPT: Final = ("code", "message", "mark", "ref", "result")
"""What of an answer holds the provider's words."""

KEPT_TOKENS: Final = 2
"""The one that is used, and the one before it: an answer to a call that was sent with that may still come."""

MAX_TEXT: Final = 500
SHORTEST_SECRET: Final = 4
"""Shorter values are left alone: replacing every "1" would hide the message, not the secret."""
SHORTEST_PIECE: Final = 8
"""A text may have been cut within a secret: at its end, so many letters of one are struck, too."""
EDGE: Final = 2
"""A "%" before a secret that begins with "41" makes an "A" of it."""

STRUCK: Final = "***"

_MOST_PLACES = 8
_LONGEST_SEARCHED = 4000
"""In longer texts, and for more places, it is not searched where exactly a secret is: the text goes as a whole."""


class Secrets(Sequence[str]):
    """What must not appear: an account's own secrets, and the last tokens that its logins yielded.

    Older tokens are forgotten: a provider that gives a new one for every call would fill the memory.
    """

    def __init__(self, own: Iterable[str]) -> None:
        self._own = tuple(own)
        self._tokens: deque[str] = deque(maxlen=KEPT_TOKENS)
        self._all = self._own

    def learn(self, token: str) -> None:
        """One more token."""
        if token not in self._tokens:
            self._tokens.append(token)
            self._all = (*self._own, *self._tokens)

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[str]: ...

    def __getitem__(self, at: int | slice) -> str | Sequence[str]:
        return self._all[at]

    def __len__(self) -> int:
        return len(self._all)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, cut at 500 characters."""
    return struck(text, tuple(secrets))[:MAX_TEXT]


def scrubbed(answer: Worded, secrets: Sequence[str]) -> Worded:
    """The outcome or result without secrets in anything that is kept of it: a provider may repeat what it was sent."""
    clean: dict[str, Any] = {}
    for name in KEPT:
        value = getattr(answer, name, None)
        if value and (now := _struck_deep(value, secrets)) != value:
            clean[name] = now
    return replace(answer, **clean) if clean else answer


def struck(text: str, secrets: Sequence[str]) -> str:
    """The text with every secret in it, however written, as ``***``."""
    if len(text) <= MAX_TEXT:
        return _struck_short(text, tuple(secrets))
    return _struck(text, secrets)


def holds(text: str, secrets: Iterable[str]) -> bool:
    """Whether some reading of the text holds one of the secrets; in doubt it does."""
    try:
        return _holds(text, _needles(secrets))
    except TooManyReadingsError:
        return True


@lru_cache(maxsize=1024)
def _struck_short(text: str, secrets: tuple[str, ...]) -> str:
    """Providers say the same few things again and again."""
    return _struck(text, secrets)


def _struck(text: str, secrets: Iterable[str]) -> str:
    """The longest first: one may be part of another."""
    known = sorted((secret for secret in secrets if _needle(secret)), key=len, reverse=True)
    needles = _needles(known)
    for secret in known:
        text = text.replace(secret, STRUCK)
    try:
        text = _without_piece(text, map(_needle, known))
        if _holds(text, needles):
            text = _searched(text, needles) if len(text) <= _LONGEST_SEARCHED else STRUCK
    except TooManyReadingsError:
        return STRUCK
    return text


def _needles(secrets: Iterable[str]) -> list[str]:
    """What is looked for: the secrets, and what is left of one whose ends were taken for parts of their neighbours."""
    whole = [needle for needle in map(_needle, secrets) if needle]
    return whole + [_core(needle) for needle in whole if len(needle) >= SHORTEST_PIECE]


def _core(needle: str) -> str:
    return needle[EDGE:-EDGE] if len(needle) >= SHORTEST_PIECE + 2 * EDGE else needle[EDGE:]


@lru_cache(maxsize=256)
def _needle(secret: str) -> str:
    """The secret as it is compared; empty where it is too short to be looked for."""
    needle = compact(secret).casefold()
    return needle if len(needle) >= SHORTEST_SECRET else ""


def _holds(text: str, needles: Collection[str]) -> bool:
    least = min(map(len, needles), default=0)
    if not least or len(text) < least:
        return False
    return any(needle in view for view in _views(text, least) for needle in needles)


def _views(text: str, least: int) -> Iterable[str]:
    return (compact(view).casefold() for view in readings(text, least))


def _struck_deep(value: object, secrets: Sequence[str]) -> object:
    """JSON, every text in it struck. It is searched as one text first, which nearly always is clean."""
    if isinstance(value, str):
        return struck(value, secrets)
    if not holds(STRUCK.join(_texts(value)), secrets):
        return value
    return _each_struck(value, secrets)


def _texts(value: object) -> Iterator[str]:
    """All texts of a JSON value, in any order."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case str(text):
                yield text
            case list(items) | tuple(items):
                waiting.extend(items)
            case Mapping() as named:
                waiting.extend(named.values())
                yield from map(str, named)


def _each_struck(value: object, secrets: Sequence[str]) -> object:
    match value:
        case str(text):
            return struck(text, secrets)
        case list() | tuple():
            return [_each_struck(item, secrets) for item in value]
        case Mapping():
            return {struck(str(name), secrets): _each_struck(item, secrets) for name, item in value.items()}
        case _:
            return value


# --- Where it is ---------------------------------------------------------------------------------------------------


def _searched(text: str, needles: Sequence[str]) -> str:
    """Strike the places that hold a secret; the whole text where that does not help."""
    for needle in needles:
        for _ in range(_MOST_PLACES):
            if not _holds(text, [needle]):
                break
            start, end = _place(text, needle)
            text = text[:start] + STRUCK + text[end:]
    return STRUCK if _holds(text, needles) else text


def _place(text: str, needle: str) -> tuple[int, int]:
    """The shortest part from the left that holds it. Halving finds it, since what holds it still does when longer."""
    end = _first(len(text), lambda end: _holds(text[:end], [needle]))
    start = end - _first(end, lambda length: _holds(text[end - length : end], [needle]))
    return start, end


def _first(most: int, good: Callable[[int], bool]) -> int:
    """The least number up to ``most`` that is good, where all above a good one are."""
    bad = 0
    while most - bad > 1:
        middle = (bad + most) // 2
        bad, most = (bad, middle) if good(middle) else (middle, most)
    return most


def _without_piece(text: str, needles: Iterable[str]) -> str:
    """A text may have been cut within a secret: strike what is left of one at the end."""
    for needle in needles:
        if _ends_within(text, needle):
            text = text[: -_length_of_piece(text, needle)] + STRUCK
    return text


def _length_of_piece(text: str, needle: str) -> int:
    return _first(len(text), lambda length: _ends_within(text[-length:], needle))


def _ends_within(text: str, needle: str) -> bool:
    """Whether the text, as it is or without its escapes, ends within the secret."""
    views = readings(text, SHORTEST_PIECE, words=False)
    return any(_is_piece(compact(view).casefold(), needle) for view in views)


def _is_piece(text: str, needle: str) -> bool:
    """Whether the text ends with a beginning of the needle."""
    beginning = needle[:SHORTEST_PIECE]
    at = text.find(beginning, max(0, len(text) - len(needle))) if len(needle) > SHORTEST_PIECE else -1
    while at >= 0:
        if needle.startswith(text[at:]):
            return True
        at = text.find(beginning, at + 1)
    return False
