"""What a claim makes of a due task: into the batch, a look first, dead, or left for later."""

from dataclasses import dataclass
from uuid import UUID

from ..capabilities import Kind
from ..states import DeadReason, Status
from ..task import Task, replace
from . import moves
from .moves import Context


@dataclass(frozen=True, slots=True)
class Claimed:
    """It goes into the batch."""

    task: Task


@dataclass(frozen=True, slots=True)
class LookFirst:
    """It is looked at before it is retried."""

    task: Task


@dataclass(frozen=True, slots=True)
class Leave:
    """It is moved out of the way: dead, resting, or due a little later."""

    task: Task


def consider(task: Task, batch_id: UUID, context: Context, *, busy: bool) -> Claimed | LookFirst | Leave:
    """What becomes of a due task. ``busy``: an open attempt, or a conflicting task under way, stands in its way."""
    if task.status is Status.CANCELED and not context.rules.policy.retry_canceled and task.trigger == "due":
        return Leave(moves.resting(task, context))
    if busy:
        return Leave(replace(task, due_at=context.after(context.rules.policy.check_after_seconds)))
    if task.spent >= task.limit(context.rules):
        return Leave(moves.dead(task, DeadReason.LIMIT_REACHED, context.now))
    if looks_first(task, context):
        return LookFirst(moves.look_first(task, context.now))
    return Claimed(
        replace(
            task,
            status=Status.IN_FLIGHT,
            held_from=task.status,
            batch_id=batch_id,
            due_at=None,
            status_since=context.now,
        )
    )


def looks_first(task: Task, context: Context) -> bool:
    """Whether the provider is asked for the task's state before this retry."""
    rules = context.rules
    if not rules.capabilities.can_check:
        return False
    if rules.policy.check_before_retry == "always":
        return task.seen is None or task.due_at is None or task.seen.asked_at < task.due_at
    if task.seen is not None:
        return False
    kind = rules.capabilities.kind(task.kind)
    return rules.archives or _required(kind) or _doubtful(task, context)


def _required(kind: Kind | None) -> bool:
    return kind is not None and kind.look_first


def _doubtful(task: Task, context: Context) -> bool:
    """The provider may be retrying it by itself right now."""
    automatic = context.rules.policy.check_before_retry == "auto"
    return automatic and task.origin in context.rules.capabilities.retries_by_itself
