"""A task as host programs hand it in, and as they see it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Required, TypedDict

from .words import DeadReason, NextStep, OwnerStatus, TaskStatus, Wish

if TYPE_CHECKING:
    from redrive.models.explain import Explanation as Explained
    from redrive.models.queries import Action, Attempt
    from redrive.models.rules import Rules
    from redrive.models.task import Task


class TaskRow(TypedDict, total=False):
    """What can be given of a task when it is added; ``account`` and ``external_id`` must be.

    Attributes:
        account: its name in the settings.
        external_id: the id its provider gave it, as text.
        kind: what it is at its provider, where that has several kinds; otherwise the default.
        sub_id: the part of it that failed, for kinds that need it.
        origin: who created it, such as ``api`` or ``client_ui``.
        status: ``pending``, ``running``, ``failed`` (the default) or ``canceled``.
        failed_at: a datetime or ISO 8601 text; a naive one is UTC.
        reason: why it failed, in words.
        priority: 1 comes before 0 before -1.
        max_retries: its own limit; otherwise the policy's.
        params: what its provider needs besides.
    """

    account: Required[str]
    external_id: Required[str | int]
    kind: str | None
    sub_id: str | int
    origin: str
    status: OwnerStatus
    failed_at: datetime | str | None
    reason: str
    priority: int
    max_retries: int | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """A task at the moment it was read.

    Attributes:
        id: Redrive's own id.
        account, kind, external_id, sub_id: what it is at its provider.
        params, origin, priority: as it was added.
        status: ``pending``, ``running``, ``failed``, ``canceled``, ``in_flight``, ``retrying``, ``unknown``,
            ``held``, ``succeeded`` or ``dead``.
        dead_reason: why it is dead; None while it is not.
        next: what comes at ``due_at``: ``retry`` or ``check``.
        due_at: when it is retried or checked next, in UTC; None when it is not by itself.
        attempts: retry calls so far.
        spent: those that count against the limit.
        limit: retries allowed in all; None when the account is not known here.
        wish: ``hold`` or ``stop``, to be granted when the retry under way has failed.
        provider_ref: the new id its provider gave the last retry, if any.
        last_error: the last words about its failure.
        failure: why its work failed, as a short code; None while nobody has classified it.
        failed_at: when it failed, as far as is known; in UTC.
        status_since, created_at, updated_at: in UTC.
        hint: what an operation that changed nothing, or nothing yet, has to say.
    """

    id: int
    account: str
    kind: str
    external_id: str
    sub_id: str
    params: Mapping[str, Any]
    origin: str
    priority: int
    status: TaskStatus
    dead_reason: DeadReason | None
    next: NextStep
    due_at: datetime | None
    attempts: int
    spent: int
    limit: int | None
    wish: Wish | None
    provider_ref: str
    last_error: str
    failure: str | None
    failed_at: datetime | None
    status_since: datetime
    created_at: datetime
    updated_at: datetime
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptInfo:
    """One retry call about a task.

    Attributes:
        number: counted from 1.
        trigger: what caused it, such as ``due`` or ``manual``.
        batch_id: as in logs and in Flower.
        opened_at, closed_at: in UTC; ``closed_at`` and ``outcome`` are None while its answer is not recorded.
        outcome: ``accepted``, ``already``, ``refused``, ``deferred``, ``throttled``, ``blocked``, ``unknown`` …
        spent: whether it counts against the limit.
        cause: the failure that it answered; None where that had no code yet.
        http_status, provider_code, message: the provider's answer.
        provider_ref: the new id the provider gave, if any.
        result, settled_at: what became of the run it started, and when that was known.
    """

    number: int
    trigger: str
    batch_id: str
    opened_at: datetime
    closed_at: datetime | None
    outcome: str | None
    spent: bool
    cause: str | None
    http_status: int | None
    provider_code: str
    message: str
    provider_ref: str
    result: str
    settled_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionInfo:
    """What somebody did to a task on purpose: when (UTC), who, what, why, and what came of it besides."""

    at: datetime
    who: str
    what: str
    why: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a task is where it is and what happens next, a sentence a line; ``str()`` joins them.

    Attributes:
        id: the task's.
        status: where it is.
        lines: the sentences.
        next_at: when something happens next, where that is known; in UTC.
    """

    id: int
    status: TaskStatus
    lines: tuple[str, ...]
    next_at: datetime | None

    def __str__(self) -> str:
        return "\n".join(self.lines)


_SAME = tuple(field.name for field in fields(TaskInfo) if field.name not in {"limit", "hint"})


def task_info(task: "Task", rules_of: "Mapping[str, Rules]", hint: str = "") -> TaskInfo:
    """The task in plain words: its states are ``str`` and nothing else."""
    values = {name: getattr(task, name) for name in _SAME}
    for name in ("status", "next", "wish"):
        values[name] = str(values[name]) if values[name] is not None else None
    rules = rules_of.get(task.account)
    return TaskInfo(**values, limit=task.limit(rules) if rules is not None else None, hint=hint)


def attempt_info(attempt: "Attempt") -> AttemptInfo:
    """An attempt in plain words."""
    values = {field.name: getattr(attempt, field.name) for field in fields(AttemptInfo)}
    return AttemptInfo(**values | {"batch_id": str(attempt.batch_id)})


def action_info(action: "Action") -> ActionInfo:
    """An action in plain words."""
    return ActionInfo(**{field.name: getattr(action, field.name) for field in fields(ActionInfo)})


def explanation(explained: "Explained") -> Explanation:
    """An explanation in plain words."""
    values = {field.name: getattr(explained, field.name) for field in fields(Explanation)}
    return Explanation(**values | {"status": str(explained.status)})
