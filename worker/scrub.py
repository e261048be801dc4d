"""Text from outside, made fit to be stored and logged."""

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

from models.outcome import Accepted, Look, Outcome, Reading

Worded = TypeVar("Worded", bound=Outcome | Look)

MAX_TEXT = 500
SHORTEST_SECRET = 4
"""Shorter values are left alone: replacing every "1" would hide the message, not the secret."""


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, as they are or as a server may echo them, cut at 500 characters."""
    return _struck(text, _forms(tuple(secrets)))[:MAX_TEXT]


def scrubbed(answer: Worded, secrets: Iterable[str]) -> Worded:
    """The outcome or look without secrets in anything that is kept of it: a provider may repeat what it was sent."""
    forms = _forms(tuple(secrets))
    clean: dict[str, Any] = {name: _struck(getattr(answer, name), forms)[:MAX_TEXT] for name in ("code", "message")}
    match answer:
        case Accepted(ref=ref):
            clean["ref"] = _struck(ref, forms)
        case Reading(mark=mark, result=result):
            clean |= {"mark": _struck(mark, forms), "result": _struck_deep(result, forms)}
    return replace(answer, **clean)


def _struck(text: str, forms: Sequence[str]) -> str:
    for form in forms:
        text = text.replace(form, "***")
    return text


def _struck_deep(value: object, forms: Sequence[str]) -> object:
    """JSON, every text in it struck."""
    match value:
        case str():
            return _struck(value, forms)
        case list():
            return [_struck_deep(item, forms) for item in value]
        case dict():
            return {_struck(str(name), forms): _struck_deep(item, forms) for name, item in value.items()}
        case _:
            return value


@lru_cache(maxsize=64)
def _forms(secrets: tuple[str, ...]) -> Sequence[str]:
    """All forms of all secrets, the longest first: one may be part of another. An account has the same for long."""
    found = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in _forms_of(secret)}
    return sorted(found, key=len, reverse=True)


def _forms_of(secret: str) -> Iterator[str]:
    """The secret as it is, quoted for a URL, escaped for JSON, in base64 and in hexadecimal."""
    raw = secret.encode("utf-8", "surrogatepass")
    yield from (secret, quote(raw, safe=""), quote(raw), quote_plus(raw))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))
    yield from (raw.hex(), raw.hex().upper())
