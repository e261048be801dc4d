"""A task as host programs hand it in, and as they see it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Required, TypedDict

if TYPE_CHECKING:
    from models.rules import Rules
    from models.task import Task


class TaskRow(TypedDict, total=False):
    """What can be said of a task when it is added; ``account`` and ``external_id`` must be.

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
    status: str
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
        due_at: when somebody looks at it next, in UTC; None when nobody will by themselves.
        attempts: retry calls so far.
        spent: those that count against the limit.
        limit: retries allowed in all; None when the account is not known here.
        wish: ``hold`` or ``stop``, to be granted when the retry under way has failed.
        provider_ref: the new id its provider gave the last retry, if any.
        last_error: the last thing said about its failure.
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
    status: str
    dead_reason: str | None
    next: str
    due_at: datetime | None
    attempts: int
    spent: int
    limit: int | None
    wish: str | None
    provider_ref: str
    last_error: str
    failed_at: datetime | None
    status_since: datetime
    created_at: datetime
    updated_at: datetime
    hint: str = ""


_SAME = tuple(field.name for field in fields(TaskInfo) if field.name not in {"limit", "hint"})


def task_info(task: "Task", rules_of: "Mapping[str, Rules]", hint: str = "") -> TaskInfo:
    """The task in plain words: its states are ``str`` and nothing else."""
    values = {name: getattr(task, name) for name in _SAME}
    for name in ("status", "next", "wish"):
        values[name] = str(values[name]) if values[name] is not None else None
    rules = rules_of.get(task.account)
    return TaskInfo(**values, limit=task.limit(rules) if rules is not None else None, hint=hint)
