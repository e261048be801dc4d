"""The words a row may say. They are stored as text and checked by the schema."""

from enum import StrEnum


class Status(StrEnum):
    """Where a task stands. See docs/lifecycle.md for what moves it."""

    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"
    CANCELED = "canceled"
    IN_FLIGHT = "in_flight"
    RETRYING = "retrying"
    UNKNOWN = "unknown"
    HELD = "held"
    SUCCEEDED = "succeeded"
    DEAD = "dead"


class DeadReason(StrEnum):
    """Why a task will not be retried. A dead task always has one."""

    LIMIT_REACHED = "limit_reached"
    NOT_FOUND = "not_found"
    RESOURCE_GONE = "resource_gone"
    REFUSED = "refused"
    UNDELIVERABLE = "undeliverable"
    TOO_OLD = "too_old"
    EXPIRED = "expired"
    STOPPED = "stopped"
    RULED_OUT = "ruled_out"


class Operation(StrEnum):
    """What a batch does; also what a task needs ``next``."""

    RETRY = "retry"
    CHECK = "check"


class BatchStatus(StrEnum):
    """A batch is queued until a worker begins it, then sending until it is done or its lease is over."""

    QUEUED = "queued"
    SENDING = "sending"
    DONE = "done"
    LOST = "lost"


class SetAside(StrEnum):
    """Why Redrive itself set a task aside. The first two are never claimed; the others are ``held``."""

    ROW = "row"
    """Its row cannot be read or written."""
    KIND = "kind"
    """Its provider does not have this kind of task."""
    UNKNOWN = "unknown"
    """Nobody knows whether its retry ran, and ``on_unknown`` says to hold it."""
    UNREADABLE = "unreadable"
    """Its checks are answered with something that Redrive does not understand."""


NEVER_CLAIMED = frozenset({SetAside.ROW, SetAside.KIND})
"""Those of tasks that keep their status and are neither claimed nor checked."""


class Wish(StrEnum):
    """What an operator wants of a task whose call cannot be taken back: applied at its next failure."""

    HOLD = "hold"
    STOP = "stop"


FAILED_STATES = (Status.FAILED, Status.CANCELED)
AT_WORK_STATES = (Status.PENDING, Status.RUNNING)
FOLLOWED_STATES = (Status.RETRYING, Status.UNKNOWN)
ENDED_STATES = (Status.SUCCEEDED, Status.DEAD)
OWNER_STATES = (*AT_WORK_STATES, *FAILED_STATES)
"""What an owner may insert; every other status is Redrive's own."""
