"""What a claim makes of a due task: into the batch, a check first, dead, or left for later."""

from dataclasses import dataclass
from uuid import UUID

from ..capabilities import Kind
from ..rules import Rules
from ..sql.migrations.row_rules_0002 import MOST
from ..states import DeadReason, SetAside, Status
from ..task import Task, replace
from . import moves
from .moves import Context


@dataclass(frozen=True, slots=True)
class Claimed:
    """It goes into the batch."""

    task: Task


@dataclass(frozen=True, slots=True)
class CheckFirst:
    """It is checked before it is retried."""

    task: Task


@dataclass(frozen=True, slots=True)
class Leave:
    """It is moved out of the way: dead, resting, or due a little later."""

    task: Task


@dataclass(frozen=True, slots=True)
class SetAsideTask:
    """It cannot be claimed and goes into quarantine, with its ``cause`` and a sentence that says ``why``.

    It is due again much later: until then its row in the quarantine keeps it from being claimed.
    """

    task: Task
    cause: SetAside
    why: str


Decision = Claimed | CheckFirst | Leave | SetAsideTask

SET_ASIDE_SECONDS = 3600.0


def consider(task: Task, batch_id: UUID, context: Context, *, busy: bool, archived: bool = True) -> Decision:
    """What becomes of a due task.

    Args:
        task: as it is.
        batch_id: the batch it would go into.
        context: what decides.
        busy: an open attempt, or a conflicting task under way, stands in its way.
        archived: whether the result of its last attempt is kept, where the account archives.
    """
    task = context.anchored(task)
    if (found := _unfit(task, context.rules)) is not None:
        cause, why = found
        later = replace(task, last_error=why, due_at=context.after(SET_ASIDE_SECONDS))
        return SetAsideTask(later, cause, why)
    if moves.rests(rested := moves.resting(task, context)):
        return Leave(rested)
    if busy:
        return Leave(replace(task, due_at=context.after(context.rules.policy.check_after_seconds)))
    if ruled_out(task, context.rules):
        return Leave(moves.dead(task, DeadReason.RULED_OUT, context.now))
    if task.spent >= task.limit(context.rules):
        return Leave(moves.dead(task, DeadReason.LIMIT_REACHED, context.now))
    if checks_first(task, context, archived=archived):
        return CheckFirst(moves.check_first(task, context.now))
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


def ruled_out(task: Task, rules: Rules) -> bool:
    """Whether ``on_failure`` says never, and neither the task's own limit nor an operator says otherwise."""
    rule = rules.policy.rule_of(task.failure)
    return rule is not None and rule.never and task.max_retries is None and task.trigger == "due"


def _unfit(task: Task, rules: Rules) -> tuple[SetAside, str] | None:
    """Why a task must not be claimed at all."""
    if rules.capabilities.kind(task.kind) is None:
        return SetAside.KIND, f"kind {task.kind!r}: is not a kind of {rules.capabilities.title}; {_kinds(rules)}"
    if task.attempts >= MOST - 1:
        return SetAside.ROW, f"attempts: {task.attempts:,} is as many as a task can have; add the task under a new id"
    return None


def _kinds(rules: Rules) -> str:
    known = [kind.name for kind in rules.capabilities.kinds]
    return "leave it empty" if known == [""] else f"must be {' or '.join(known)}"


def checks_first(task: Task, context: Context, *, archived: bool = True) -> bool:
    """Whether the provider is asked for the task's state before this retry."""
    rules = context.rules
    if not rules.capabilities.can_check:
        return False
    if rules.policy.check_before_retry == "always" or (rules.archives and not archived):
        return not _just_checked(task)
    if task.seen is not None:
        return False
    kind = rules.capabilities.kind(task.kind)
    return rules.archives or _required(kind) or _doubtful(task, context)


def _just_checked(task: Task) -> bool:
    """It has been due since its check was asked. A check that brings no result to archive must not be made for ever."""
    return task.seen is not None and task.due_at is not None and task.seen.asked_at >= task.due_at


def _required(kind: Kind | None) -> bool:
    return kind is not None and kind.check_first


def _doubtful(task: Task, context: Context) -> bool:
    """The provider may be retrying it by itself right now."""
    automatic = context.rules.policy.check_before_retry == "auto"
    return automatic and task.origin in context.rules.capabilities.retries_by_itself
