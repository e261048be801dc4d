"""Reads what came back, as far as all providers agree: statuses, waits, JSON, words.

The one question is whether bytes left and a complete, readable answer came; an exception's name proves nothing.
Nothing in here raises, whatever an answer holds.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from math import isfinite
from typing import Any, Final, TypedDict, TypeVar

from httpx import codes

from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Deferred,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.states import DeadReason

from .base import Answer, Exchange
from .waits import rate_hint, retry_after

MAX_TEXT = 500
MAX_CODE = 64
MAX_MARK = 64
MAX_ID = 255
"""Characters of an id that are kept, as in the database; a longer one is not an id."""

_RAW_BYTES = 4 * (4 * MAX_TEXT + 1)  # one character more than a line reads, so that it shows that it was cut
_UNSTORABLE = re.compile(r"\\u(?:0000|d[89a-f])", re.IGNORECASE)

WRONG_ADDRESS: Final = Blocked(cause=Cause.ADDRESS, message="check base_url")
"""What answered is not the API we mean to call."""

STATUSES: Final[Mapping[int, Outcome]] = {
    401: Blocked(cause=Cause.CREDENTIALS),
    403: Already(forbidden=True),
    408: Unknown(),  # "timed out" over there, with the whole request sent from here
    423: Unknown(),  # "locked", maybe by our own call
    429: Throttled(),
}
"""Statuses that say more than their class: of the others, 4xx refuse without proof and the rest prove nothing."""

One = TypeVar("One", bound=Outcome | CheckResult)


class Words(TypedDict):
    """What every outcome repeats of the answer it was made from."""

    http_status: int | None
    code: str
    message: str


# --- From an exchange to an outcome ------------------------------------------------------------------------------


def unanswered(exchange: Exchange) -> Unsent | Deferred | Unknown:
    """What an exchange without a complete answer proves."""
    message = line(exchange.error)
    if exchange.sent:
        return Unknown(message=message)
    return Unsent(message=message) if exchange.withheld else Deferred(message=message)


def redirected(answer: Answer) -> bool:
    """Whether the answer sends us elsewhere, so that its body is not the provider's."""
    return codes.is_redirect(answer.status)


def by_status(answer: Answer, words: Words, *, own_format: bool = False, of_task: bool = False) -> Outcome:
    """What the HTTP status alone says of a retry that did not plainly succeed.

    Args:
        answer: what came.
        words: what it says.
        own_format: the body is the provider's own way of speaking, so that nobody in between answered.
        of_task: and it speaks about one task, so that a 404 means that task.
    """
    if answer.status == codes.NOT_FOUND and of_task:
        return Refused(reason=DeadReason.NOT_FOUND, **words)
    if redirected(answer) or answer.status in {codes.NOT_FOUND, codes.METHOD_NOT_ALLOWED}:
        return filled(WRONG_ADDRESS, answer, words)
    other = Already() if codes.is_client_error(answer.status) else Unknown()
    return filled(STATUSES.get(answer.status, other), answer, words, own_format=own_format)


def filled(template: Outcome, answer: Answer, words: Words, *, own_format: bool = True) -> Outcome:
    """A row of a table with the answer's words after its own, and the answer's ``Retry-After`` in place of its own.

    One of zero names no wait: to believe it would be to ask again at once for as long as it is sent. Rows for the
    provider's codes speak of a body in its own format.
    """
    if isinstance(template, Throttled | Unknown) and (wait := retry_after(answer)):
        template = replace(template, wait_seconds=wait)
    if isinstance(template, Unknown):
        template = replace(template, answered=own_format)
    message = ": ".join(filter(None, (template.message, words["message"])))
    return replace(template, **reworded(words, message))


def as_check_result(outcome: Outcome, *, own_format: bool) -> CheckResult:
    """The same answer to a status call: it refuses nothing and proves no task dead, at most that it is not there.

    A refusal in the provider's own format says that account and address work, and so does not speak of an outage;
    neither does a 403, whose meaning for the account is HTTP's own. From anybody else it is as good as no answer.
    """
    match outcome:
        case Refused(reason=DeadReason.NOT_FOUND):
            return Reading(state=State.MISSING, code=outcome.code, message=outcome.message)
        case Already(forbidden=True):
            return replace(unreadable(_said_by(outcome)), forbidden=True)
        case Accepted() | Already() | Refused():
            return unreadable(_said_by(outcome)) if own_format else Unknown(**_said_by(outcome))
        case _:
            return outcome


def unreadable(words: Words, message: str = "") -> Unreadable:
    """A status call's answer in the provider's own format that says nothing we understand."""
    return Unreadable(**(reworded(words, message) if message else words))


def gone(reason: DeadReason, message: str) -> Reading:
    """A task that no retry can fix, as we found ourselves."""
    return Reading(state=State.GONE, reason=reason, message=message)


def paced(answer: Answer, found: Mapping[int, One]) -> dict[int, One]:
    """Each with what the answer's headers ask of the path's next call."""
    pace = rate_hint(answer)
    return {id_: replace(one, pace=pace) for id_, one in found.items()} if pace else dict(found)


def _said_by(outcome: Outcome) -> Words:
    return Words(http_status=outcome.http_status, code=outcome.code, message=outcome.message)


# --- Bodies ------------------------------------------------------------------------------------------------------


def read_json(body: bytes) -> object:
    """The body's JSON, or None; fit to be stored but for its depth. Broken characters become "�".

    The whole is walked only where there is something to clean: a walk takes longer than all the rest.
    """
    try:
        whole = body.decode("utf-8-sig", "replace")
        value = json.loads(whole, parse_float=_finite, parse_constant=lambda _: None)
        return storable(value) if _UNSTORABLE.search(whole) else value
    except (ValueError, RecursionError):
        return None


def _finite(number: str) -> float | None:
    value = float(number)
    return value if isfinite(value) else None


def storable(value: object) -> object:
    """JSON as a database can keep it: without NUL and half surrogate pairs, which only an escape can bring.

    Raises:
        RecursionError: it is nested so deeply that writing it would fail as well.
    """
    match value:
        case dict():
            return {storable(name): storable(item) for name, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case str():
            return value.replace("\0", "").encode("utf-8", "replace").decode()
        case _:
            return value


def fields(value: object) -> dict[str, Any]:
    """A JSON object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """A JSON list; anything else counts as its only item, which its reader then finds unreadable or not."""
    return value if isinstance(value, list) else [value]


def number(value: object) -> int | None:
    """An integer given as such or as digits; providers do both."""
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(value: object) -> str:
    """A string, or a number as one: an id is the same id either way."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


# --- Words -------------------------------------------------------------------------------------------------------


def reworded(words: Words, message: str) -> Words:
    """The same answer with a better message."""
    return Words(http_status=words["http_status"], code=words["code"], message=line(message))


def said(answer: Answer, code: object = "", message: object = "", *, body: object = None) -> Words:
    """The answer's words. Where it has no message, where it redirects to or its raw text stands in.

    ``body`` is what :func:`read_json` made of it: the JSON of a success is somebody's data, which is not for messages.
    """
    words = line(message) or line(answer.headers.get("location", ""))
    if not words and not (codes.is_success(answer.status) and isinstance(body, dict | list)):
        words = line(answer.body[:_RAW_BYTES].decode("utf-8", "replace"))
    return Words(http_status=answer.status, code=line(code, MAX_CODE), message=words or f"HTTP {answer.status}")


def line(value: object, limit: int = MAX_TEXT) -> str:
    """Text from outside as one printable line.

    It is cut between words, because the account's secrets are struck out later: of a secret cut in two, the first
    half would stay.
    """
    whole = text(value)
    words = "".join(letter if letter.isprintable() else " " for letter in whole[: 4 * limit]).split()
    if len(whole) > 4 * limit:
        del words[-1:]
    short = " ".join(words)
    return short if len(short) <= limit else short[: limit + 1].rpartition(" ")[0]


def short_mark(*parts: object) -> str:
    """Text that is the same for the same parts and at most 64 characters long."""
    mark = "/".join(map(text, parts)).strip("/")
    return mark if len(mark) <= MAX_MARK else sha256(mark.encode()).hexdigest()
