"""Faults that can be switched on for a path: what networks and providers do when they are not well."""

import random
from collections.abc import Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt


class FaultKind(StrEnum):
    """What happens to a call that matches."""

    STATUS = "status"
    """Answered with ``status`` (503), ``headers`` and ``body``; nothing is applied."""
    RETRY_AFTER = "retry_after"
    """429 with a Retry-After of ``seconds`` (7); nothing is applied."""
    REDIRECT = "redirect"
    """307 to a place that counts callers that follow; nothing is applied."""
    GARBAGE = "garbage"
    """200 with ``body``, or with bytes that are not JSON; nothing is applied."""
    OVERSIZE = "oversize"
    """200 with ``bytes`` (32 MiB) of body; nothing is applied."""
    DROP_BEFORE = "drop_before"
    """The request is read, nothing is applied, the connection is closed."""
    RESET = "reset"
    """The same, and the connection is reset."""
    HANG = "hang"
    """The request is read, nothing is applied, no answer ever comes."""
    APPLY_THEN_DROP = "apply_then_drop"
    """Applied, then the connection is closed before any byte of the answer."""
    DROP_AFTER = "drop_after"
    """Applied, then the connection is closed after half of the answer's body."""
    DRIP = "drip"
    """Applied, and the answer's body comes one byte each ``seconds`` (0.2)."""
    STALE = "stale"
    """Status calls answer what was before the newest retry."""


APPLYING: Final = frozenset({FaultKind.APPLY_THEN_DROP, FaultKind.DROP_AFTER, FaultKind.DRIP, FaultKind.STALE})
READABLE: Final = frozenset({FaultKind.RETRY_AFTER, FaultKind.REDIRECT, FaultKind.DRIP, FaultKind.STALE})
SERVER_ERROR = 500


class Fault(BaseModel):
    """One fault.

    Attributes:
        path: a pattern with ``*`` and ``?`` for the request's path.
        fault: what happens.
        count: how many calls it strikes; None: all.
        probability: that it strikes a call.
        apply: whether the call is carried out, where that is to differ from what the fault does by itself.
        body: text, or a JSON value.
    """

    model_config = ConfigDict(extra="forbid")

    path: str
    fault: FaultKind
    count: PositiveInt | None = None
    probability: Annotated[float, Field(gt=0, le=1)] = 1.0
    apply: bool | None = None
    status: Annotated[int, Field(ge=200, le=999)] | None = None
    seconds: PositiveFloat | None = None
    bytes: PositiveInt = 32 << 20
    headers: Mapping[str, str] = {}
    body: Any = None

    @property
    def applies(self) -> bool:
        """Whether the call is carried out."""
        return self.fault in APPLYING if self.apply is None else self.apply

    @property
    def doubtful(self) -> bool:
        """Whether the caller is left without an answer that tells it what happened."""
        if self.fault is FaultKind.STATUS:
            return (self.status or 503) >= SERVER_ERROR
        return self.fault not in READABLE


class Faults:
    """The faults that are switched on, in that order; a call is struck by the first that matches."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch one on."""
        self._active.append(fault)

    def listed(self) -> list[dict[str, Any]]:
        """Those that are on, as JSON."""
        return [fault.model_dump(mode="json", exclude_defaults=True) for fault in self._active]

    def clear(self) -> None:
        """Switch all off."""
        self._active.clear()

    def strike(self, path: str) -> Fault | None:
        """The fault that befalls a call to this path."""
        for fault in self._active:
            if fnmatchcase(path, fault.path) and self._dice.random() < fault.probability:
                self._use_up(fault)
                return fault
        return None

    def _use_up(self, fault: Fault) -> None:
        if fault.count == 1:
            self._active.remove(fault)
        elif fault.count is not None:
            fault.count -= 1
