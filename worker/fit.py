"""What a provider's code says of a task, made fit to be recorded: right in type and size, and free of secrets.

A provider is somebody else's code, and it reads somebody else's words. What could not be stored, or would be believed
for ever, ends here and not in the ledger.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields, replace
from math import isfinite
from typing import Any, Final, TypeVar

from redrive.models.outcome import Cause, CheckResult, Outcome, Reading, State, Unreadable
from redrive.models.states import DeadReason

from .scrub import scrubbed

Worded = TypeVar("Worded", bound=Outcome | CheckResult)

MAX_WAIT_SECONDS: Final = 86_400.0
MAX_RESULT_BYTES: Final = 4 * 1024 * 1024
"""The largest result that is archived: written and read, it holds up nobody for long."""

LENGTHS: Final = {"code": 64, "message": 500, "mark": 64, "ref": 255}


class MisfitError(Exception):
    """The value may not be recorded. The words say why, and repeat nothing of it."""


def fit(
    answer: Outcome | CheckResult, kinds: Collection[type], secrets: Sequence[str], *, archives: bool = False
) -> Outcome | CheckResult:
    """The answer as it may be recorded; with its result only where the account archives results.

    Raises:
        MisfitError: it is none of the ``kinds``, or a part of it has the wrong type.
    """
    kind = type(answer)
    if kind not in kinds:
        raise MisfitError(f"{kind.__name__} is not an answer to this call")
    try:
        values = {each.name: getattr(answer, each.name) for each in fields(answer)}
        if not archives:
            values.pop("result", None)
        checked = kind(**{name: _CHECKS.get(name, _flag)(value) for name, value in values.items()})
        clean = scrubbed(checked, secrets)
        return _cut(_bounded(clean) if isinstance(clean, Reading) else clean)
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise MisfitError(f"{kind.__name__}: {error}") from None


def _bounded(reading: Reading) -> Reading | Unreadable:
    if reading.result is not None and len(json.dumps(reading.result, ensure_ascii=False)) > MAX_RESULT_BYTES:
        words = (
            f"its result is larger than {MAX_RESULT_BYTES} bytes and cannot be archived; set archive_results = false"
        )
        return Unreadable(code=reading.code, message=words)
    gone = reading.state is State.GONE
    return replace(reading, reason=(reading.reason or DeadReason.REFUSED) if gone else None)


def _cut(answer: Worded) -> Worded:
    """Its texts in one printable line each, and no longer than their columns: after they were searched for secrets."""
    texts = {name: getattr(answer, name) for name in LENGTHS if hasattr(answer, name)}
    lines: dict[str, Any] = {name: _line(text)[: LENGTHS[name]] for name, text in texts.items()}
    return replace(answer, **lines)


def _line(text: str) -> str:
    return text if text.isprintable() else " ".join("".join(c if c.isprintable() else " " for c in text).split())


# --- One part of it --------------------------------------------------------------------------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of text")
    return _storable(value)


def _storable(text: str) -> str:
    """Without NUL and half surrogate pairs, which no database keeps."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _status(value: object) -> int | None:
    """Three digits at most, as a plain number: some drivers write a member of an enumeration as its name."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return int(value) if 0 <= value <= 999 else None  # noqa: PLR2004 - HTTP's


def _seconds(value: object) -> float | None:
    """A wait of a day at most; what names none, such as 0 or "soon", is None."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
        return None
    return float(min(value, MAX_WAIT_SECONDS))


def _flag(value: object) -> bool:
    return value is True


def _reason(value: str | None) -> DeadReason | None:
    return None if value is None else DeadReason(value)


def _result(value: object) -> object:
    if value is not None and not isinstance(value, Mapping):
        raise TypeError(f"{type(value).__name__} in place of a result")
    return _json(value)


def _json(value: object) -> object:
    """Plain JSON of the value, as a database keeps it. One frame per level: what was read can be walked, too."""
    if isinstance(value, str):
        return _storable(value)
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Mapping):
        named: dict[str, object] = {}
        for name, item in value.items():
            named[_storable(str(name))] = _json(item)
        return named
    if isinstance(value, list | tuple):
        listed: list[object] = []
        for item in value:
            listed.append(_json(item))  # noqa: PERF401 - a comprehension is one frame more in Python 3.11
        return listed
    raise TypeError(f"{type(value).__name__} in a result, which is not JSON")


_CHECKS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(LENGTHS, _text),
    "http_status": _status,
    "wait_seconds": _seconds,
    "pace": _seconds,
    "state": State,
    "cause": Cause,
    "reason": _reason,
    "result": _result,
}
"""By the name of the field; those that are not named are switches."""
