"""What came of asking a provider, as values.

A retry call yields one :data:`Outcome` per task, a check one :data:`CheckResult`. Both are plain data: the ledger
decides what they do to a row, and `match` with `assert_never` finds a case nobody thought of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal

from .states import DeadReason


def answer_words(http_status: int | None, code: str, message: str) -> str:
    """An answer in the provider's words: ``HTTP 200, code 40003: signature verification failed``."""
    status = f"HTTP {http_status}" if http_status else ""
    its_own = f"code {code}" if code not in {"", str(http_status)} else ""
    numbers = ", ".join(filter(None, (status, its_own)))
    return ": ".join(filter(None, (numbers, message if message != status else "")))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    """What every outcome can carry: the provider's own words, already cut and scrubbed of secrets.

    ``pace``: seconds before which the path's next call must not leave, as the answer's own headers have it; they
    change nothing of what the answer means. None: there is room.
    """

    name: ClassVar[str]
    http_status: int | None = None
    code: str = ""
    message: str = ""
    pace: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted(_Answer):
    """The provider took the retry. ``ref`` is the new id it gave, if it gave one."""

    name = "accepted"
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Already(_Answer):
    """Refused without proof why: it may be running already, so check. ``forbidden`` marks a 403 (three pause)."""

    name = "already"
    forbidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused(_Answer):
    """The provider will never retry this task, for the reason given."""

    name = "refused"
    reason: DeadReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred(_Answer):
    """No byte left this machine, so nothing can have happened there.

    ``of_task``: the reason is this task and not the account or the way to the provider: there is no call for it.
    """

    name = "deferred"
    of_task: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled(_Answer):
    """Too fast. The path (or the whole account) waits ``wait_seconds``; None: the ledger's own growing wait."""

    name = "throttled"
    wait_seconds: float | None = None
    whole_account: bool = False


class Cause(StrEnum):
    """Why an account is paused, which is also how the pause ends."""

    OPERATOR = "operator"
    CREDENTIALS = "credentials"
    BALANCE = "balance"
    ADDRESS = "address"
    REFUSALS = "refusals"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked(_Answer):
    """Nothing of this account will work until somebody or something changes: the account is paused."""

    name = "blocked"
    cause: Cause


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown(_Answer):
    """Bytes left and no complete readable answer came: it may have been applied.

    Attributes:
        wait_seconds: how long the provider asked to be left alone all the same, as a 503 may.
        answered: a complete answer in the provider's own format. It proves that account and address work, so that
            only many tasks with such answers, and never one alone, mean an outage.
        ref: the new id that the answer held all the same: checks follow it.
    """

    name = "unknown"
    wait_seconds: float | None = None
    answered: bool = False
    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable(_Answer):
    """A check was answered, completely and in the provider's own format, with something that nobody here understands.

    It is not an outage: the task is checked again, ever less often, and says why in the provider's words.
    ``forbidden`` marks a 403 (three pause), as it does for retries.
    """

    name = "unreadable"
    forbidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent(_Answer):
    """The attempt was opened and then not sent: its moment had passed, or the worker was asked to stop."""

    name = "unsent"


Outcome = Accepted | Already | Refused | Deferred | Throttled | Blocked | Unknown | Unsent

OUTCOMES: tuple[type[_Answer], ...] = (Accepted, Already, Refused, Deferred, Throttled, Blocked, Unknown, Unsent)


class State(StrEnum):
    """What a provider says of a task when it is checked."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"
    GONE = "gone"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A check's answer about one task, understood.

    Attributes:
        state: what the provider says. ``gone``: it failed in a way no retry can fix (``reason`` says which).
        mark: the provider's own mark of the run (start time, cost …); a new mark proves a new run.
        code: the provider's code for the state, as text.
        message: its words.
        reason: for ``gone`` only.
        result: the whole result, where the account archives what a retry overwrites.
        pace: seconds before which the path's next call must not leave; None: there is room.
    """

    name: ClassVar[Literal["reading"]] = "reading"
    state: State
    mark: str = ""
    code: str = ""
    message: str = ""
    reason: DeadReason | None = None
    result: Mapping[str, Any] | None = None
    pace: float | None = None


CheckResult = Reading | Deferred | Throttled | Blocked | Unknown | Unreadable | Unsent
