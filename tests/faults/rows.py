"""The rows of the table, to be read from left to right: a fault of a provider, and what becomes of the task.

An account has one failed task. Its first retry meets the fault; after that the provider is in good health and shows
the task as failed. All times are those of a clock that stands still unless it is moved: it starts at 12:00:00 UTC.
"""

from dataclasses import dataclass

from tests.faults.provider import Reply

ONE = "1"
"""The external id of the row's task."""

PAGE = b"<html><h1>It works!</h1></html>"

DAY = 86_400
# --- What happens next ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Retried:
    """Its retry is asked for again after so long, and not before: the API path waits."""

    after_seconds: float


@dataclass(frozen=True)
class Looked:
    """The provider is asked for its state after so long, and not before; ``path_waits``: retries of all tasks do."""

    after_seconds: float
    path_waits: float | None = None


@dataclass(frozen=True)
class Paused:
    """The account is, and nothing of it is called: for good, or until one task tries again after so long."""

    cause: str
    probe_seconds: float | None = None


@dataclass(frozen=True)
class Over:
    """Nothing, ever."""


@dataclass(frozen=True)
class Row:
    """One fault.

    Attributes:
        fault: its name, which begins with the account it strikes.
        answer: what the provider does.
        outcome: the attempt's.
        becomes: the task's status, with the reason where it is dead.
        next: what happens then, and when.
        words: what `redrive explain` says, among other things.
    """

    fault: str
    answer: Reply
    outcome: str
    becomes: str
    next: Retried | Looked | Paused | Over
    words: tuple[str, ...]
    timeout_seconds: float = 2

    @property
    def account(self) -> str:
        return self.fault.partition(":")[0]

    def __str__(self) -> str:
        return self.fault


def throttled(fault: str, answer: Reply, seconds: float, at: str, *words: str) -> Row:
    """The path waits, the task is as before; ``at`` is when the next call leaves, as people are told."""
    said = ("The provider asked for patience on ", f"The next call there leaves in {at}.", *words)
    return Row(fault, answer, "throttled", "failed", Retried(seconds), said)


def unknown(fault: str, answer: Reply, *words: str, path_waits: float | None = None, timeout: float = 2) -> Row:
    """It may have been applied: spent, and looked at before anything else."""
    said = ("may have been retried just now", "Its check is due in 30 s (12:00:30 UTC).", *words)
    return Row(fault, answer, "unknown", "unknown", Looked(30, path_waits), said, timeout)


def already(fault: str, answer: Reply, *words: str) -> Row:
    """Refused without proof why: checked now, nothing spent."""
    said = ("the provider did not retry it and gave no clear reason", "(since 12:00:00 UTC)", *words)
    return Row(fault, answer, "already", "unknown", Looked(0), said)


def blocked(fault: str, answer: Reply, cause: str, *words: str) -> Row:
    """The account is paused, and says why in the provider's words."""
    said = ("redrive paused account ", "ends the pause.", *words)
    return Row(fault, answer, "blocked", "failed", Paused(cause, 1800 if cause == "balance" else None), said)


def dead(fault: str, answer: Reply, reason: str, *words: str) -> Row:
    """This task will not be retried; its account goes on."""
    return Row(fault, answer, "refused", f"dead ({reason})", Over(), ("the provider refused it for good", *words))


def accepted(fault: str, answer: Reply) -> Row:
    """Odd, and yet a plain yes."""
    said = ("is running again: its retry was accepted just now.", "Its check is due in 30 s (12:00:30 UTC).")
    return Row(fault, answer, "accepted", "retrying", Looked(30), said)
