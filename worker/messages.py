"""What a message may say. Anyone who can write to the broker can send anything: a message is input and never an order.

Only what is listed here reaches Celery, rebuilt from what was understood: no ETA, no compression, no chain, no chord,
no task of Celery's own, no other content type. Everything else is dropped and logged.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from redrive.models import jobs
from redrive.models.errors import BadInput
from redrive.models.intake import values

MOST_BYTES = 256 * 1024
"""Of a message's body: a wish with all the ids it may name takes less."""

MOST_IDS = 10_000
"""Tasks that one wish may name."""

_LONGEST_WHO = 200
_ID = re.compile(r"[A-Za-z0-9._:-]{1,255}")
_UNWANTED_HEADERS = ("eta", "expires", "compression")
_FOR_EYES: Mapping[str, type] = {"account": str, "operation": str, "size": int}


@dataclass(frozen=True, slots=True)
class Message:
    """A job as it was understood: its Celery id, its name, and what its door is called with."""

    id: str
    task: str
    args: list[object]
    kwargs: dict[str, object]


def read(headers: object, content_type: object, encoding: object, body: object) -> Message:
    """The job that a message asks for.

    Raises:
        BadInput: it asks for none of ours. The words hold nothing of the message.
    """
    if not isinstance(headers, Mapping):
        raise BadInput("has no headers")
    if content_type != "application/json" or not isinstance(encoding, str) or encoding.lower() != "utf-8":
        raise BadInput("is not JSON in UTF-8")
    if present := [name for name in _UNWANTED_HEADERS if headers.get(name) is not None]:
        raise BadInput(f"asks for {present[0]}, which is not offered")
    task, id_ = headers.get("task"), headers.get("id")
    check = _CHECKS.get(task) if isinstance(task, str) else None
    if not isinstance(task, str) or check is None:
        raise BadInput("names no job of Redrive")
    if not isinstance(id_, str) or not _ID.fullmatch(id_):
        raise BadInput("has no usable id")
    args, kwargs = _call(body)
    check(args, kwargs)
    return Message(id_, task, args, kwargs)


def _call(body: object) -> tuple[list[object], dict[str, object]]:
    """What the body calls the job with: Celery's ``[args, kwargs, embed]``."""
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if not isinstance(raw, bytes | bytearray | memoryview) or len(raw) > MOST_BYTES:
        raise BadInput(f"has no body, or one of more than {MOST_BYTES // 1024} KiB")
    try:
        parsed = json.loads(bytes(raw).decode(), parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise BadInput("has a body that is not JSON") from None
    match parsed:
        case [list() as args, dict() as kwargs, dict() as embed] if not any(embed.values()):
            return args, kwargs
    raise BadInput("has a body that is not the call of one job")


def _no_number(_word: str) -> NoReturn:
    raise ValueError


def batch_id(*args: object, **kwargs: object) -> UUID:
    """The batch that a job names. The other words are for people's eyes; the batch's row is the truth.

    Raises:
        BadInput: it names none.
    """
    for name, value in kwargs.items():
        if type(value) is not _FOR_EYES.get(name) or (isinstance(value, str) and len(value) > values.LONGEST_ID):
            raise BadInput("has words beside its batch that no scheduler writes")
    match args:
        case (str(text),) if re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text):
            return UUID(text)
    raise BadInput("names no batch")


@dataclass(frozen=True, slots=True)
class HostRequest:
    """A host's wish to retry tasks now.

    Attributes:
        ids: of the tasks, in order, each once.
        who: the name that the message gives. Nobody has proved it, so the record says where the name comes from.
        reason: as the message says.
    """

    ids: list[int]
    who: str
    reason: str


def wish(ids: object, who: object = "", reason: object = "") -> HostRequest:
    """A wish, checked as :class:`redrive.Client` checks what it is called with.

    Raises:
        BadInput: naming what is wrong.
    """
    if not isinstance(ids, list) or not all(type(each) is int and 0 < each < 2**63 for each in ids):
        raise BadInput("ids: must be a list of task ids, as whole numbers")
    if len(ids) > MOST_IDS:
        raise BadInput(f"ids: must be at most {MOST_IDS}; send several messages")
    if not all(each is None or isinstance(each, str) for each in (who, reason)):
        raise BadInput("who and reason: must be text")
    name = _line(values.words("who", who))[:_LONGEST_WHO]
    return HostRequest(
        sorted(set(ids)), f"request: {name}" if name else "request", _line(values.words("reason", reason))
    )


def _line(text: str) -> str:
    """Text on one line, without what cannot be seen."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()


def _is_batch(args: list[object], kwargs: dict[str, object]) -> None:
    batch_id(*args, **kwargs)


def _is_wish(args: list[object], kwargs: dict[str, object]) -> None:
    try:
        wish(*args, **kwargs)
    except TypeError:
        raise BadInput("is not a call of redrive.request(ids, who, reason)") from None


_CHECKS: Mapping[str, Callable[[list[Any], dict[str, Any]], None]] = {
    jobs.RETRY: _is_batch,
    jobs.CHECK: _is_batch,
    jobs.REQUEST: _is_wish,
}
