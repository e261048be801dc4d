"""Secrets that can be recognised wherever they turn up and however they are written, and the search for them."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import quote, quote_plus

MARK = "plainmark"
"""No secret: it stands in accounts' names, so that a place where it is missing was empty or was not searched."""

HALF = 14
BETWEEN = "/+=&%\"'\\@#:?"
"""What URLs, JSON and shells write differently. No comma and no space: neither may stand in every secret."""


def secret(name: str) -> str:
    """A secret of that name: two halves that occur nowhere else, with awkward characters between them."""
    digest = sha256(f"redrive test {name}".encode()).hexdigest()
    return f"Q{digest[:HALF]}{BETWEEN}Z{digest[-HALF:]}"


def written(value: str) -> Iterator[str]:
    """The ways in which somebody may repeat it."""
    raw = value.encode()
    yield from (value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1])
    yield from (base64.b64encode(raw).decode(), base64.urlsafe_b64encode(raw).decode(), raw.hex(), raw.hex().upper())


def needles(value: str) -> set[str]:
    """What betrays it: each half, in clear, in hexadecimal, and in base64 wherever it begins in what was encoded."""
    pieces = re.findall(rf"[QZ][0-9a-f]{{{HALF}}}", value) or [value[:20], value[-20:]]
    return {needle for piece in pieces for needle in _forms(piece.encode())}


def _forms(raw: bytes) -> Iterator[str]:
    yield from (raw.decode(), raw.hex(), raw.hex().upper())
    for shift in range(3):
        whole = base64.b64encode(b"\0" * shift + raw)
        # Without the characters that its neighbours have a part in.
        inner = whole[(0, 2, 3)[shift] : len(whole) - (0, 3, 2)[(shift + len(raw)) % 3]].decode()
        yield from (inner, inner.replace("+", "-").replace("/", "_"))


@dataclass
class Search:
    """Places and what was found in them.

    Attributes:
        secrets: name → value.
        places: name → its text.
    """

    secrets: dict[str, str]
    places: dict[str, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)

    def look(self, place: str, text: str | bytes, *, expects: str | Iterable[str] = MARK) -> None:
        """Take the text of a place down. ``expects`` is what must be there in any case."""
        whole = text if isinstance(text, str) else text.decode("latin-1")
        self.places[place] = whole
        wanted = [expects] if isinstance(expects, str) else expects
        self.empty += [f"{place}: {each!r} is not there" for each in wanted if each not in whole]

    def findings(self) -> list[str]:
        """Every place that was not searched, and every secret in every other, with what stands around it."""
        known = {name: needles(value) for name, value in self.secrets.items()}
        return [*self.empty, *(line for place, text in self.places.items() for line in _found(place, text, known))]

    def conclude(self) -> None:
        """The end of the search.

        Raises:
            AssertionError: naming each place and each secret.
        """
        if findings := self.findings():
            raise AssertionError("\n".join([f"{len(findings)} findings:", *findings]))


def _found(place: str, text: str, known: Mapping[str, set[str]]) -> Iterator[str]:
    for name, pieces in known.items():
        at = min((where for piece in pieces if (where := text.find(piece)) >= 0), default=-1)
        if at >= 0:
            yield f"{place}: holds {name}: …{text[max(0, at - 90) : at + 60]!r}…"
