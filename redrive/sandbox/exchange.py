"""One HTTP exchange as values: the providers' code does no I/O of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .task import SandboxTask


@dataclass(slots=True, kw_only=True)
class ServedCall:
    """A request that has arrived whole.

    Attributes:
        raw_path: as on the request line, still percent-encoded, without the query: what signatures cover.
        query: the raw query string.
        now: when it arrived, in seconds since the epoch.
        applies: False when a fault answers in the provider's place, so that nothing may happen.
        doubtful: whether the caller will be left without an answer it can read.
        stale: whether status calls show what was before the latest retry.
        touched: tasks this call asked to retry; they are unanswered until the answer is out.
    """

    method: str
    raw_path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    now: float
    applies: bool = True
    doubtful: bool = False
    stale: bool = False
    touched: list["SandboxTask"] = field(default_factory=list)

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object, or None when it is anything else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. ``doc`` names where it is documented; a body that is not text is sent as JSON."""

    doc: str
    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body's bytes."""
        match self.body:
            case None:
                return b""
            case str():
                return self.body.encode()
            case _:
                return json.dumps(self.body, separators=(",", ":")).encode()

    @property
    def content_type(self) -> str:
        """The media type that fits the body."""
        return "text/plain" if self.body is None or isinstance(self.body, str) else "application/json"


class Refusal(Exception):  # noqa: N818 - an answer, not a fault of ours
    """Ends a call with an answer, from wherever it became clear."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(reply.doc)
