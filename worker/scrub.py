"""Text from outside, made fit to be stored and logged."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote, quote_plus

from models.outcome import Look, Outcome

Worded = TypeVar("Worded", bound=Outcome | Look)

MAX_TEXT = 500
SHORTEST_SECRET = 4
"""Shorter values are left alone: replacing every "1" would hide the message, not the secret."""


def scrub(text: str, secrets: Iterable[str]) -> str:
    """The text without the secrets, as they are or as a server may echo them, cut at 500 characters."""
    if text == "":
        return text
    forms = {form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}
    for form in sorted(forms, key=len, reverse=True):  # the longest first: a secret may be part of another
        text = text.replace(form, "***")
    return text[:MAX_TEXT]


def scrubbed(outcome: Worded, secrets: Iterable[str]) -> Worded:
    """The outcome or look with its words scrubbed: a provider may repeat what it was sent."""
    if outcome.code == outcome.message == "":
        return outcome
    return replace(outcome, code=scrub(outcome.code, secrets), message=scrub(outcome.message, secrets))


def _forms(secret: str) -> Iterator[str]:
    """The secret as it is, quoted for a URL, escaped for JSON and in base64."""
    raw = secret.encode("utf-8", "surrogatepass")
    yield from (secret, quote(raw, safe=""), quote(raw), quote_plus(raw))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield from (base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))
