"""What operators want of a task, and the hint they get when it cannot be."""

import dataclasses
from dataclasses import dataclass

from ..states import AT_WORK_STATES, ENDED_STATES, FAILED_STATES, FOLLOWED_STATES, DeadReason, Operation, Status, Wish
from ..task import Task, replace
from . import moves
from .claiming import ruled_out
from .moves import Context


@dataclass(frozen=True, slots=True)
class ActionReply:
    """The task after an action, and a hint when it changed nothing or not at once."""

    task: Task
    hint: str = ""


def hold(task: Task, context: Context, *, is_open: bool) -> ActionReply:
    """Nobody touches it until it is released; at once, or as a wish when a call cannot be taken back."""
    if task.status in ENDED_STATES:
        return ActionReply(task, f"nothing to hold: it {_end(task)}")
    if task.status is Status.HELD:
        return ActionReply(task, "held already")
    if is_open or task.status in FOLLOWED_STATES:
        return ActionReply(replace(task, wish=Wish.HOLD), "held when its retry has failed; success wins")
    return ActionReply(moves.held(task, task.held_from or task.status, context.now))


def release(task: Task, context: Context) -> ActionReply:
    """Back to where it was held, after a check; or a wish is withdrawn."""
    if task.wish is not None:
        return ActionReply(replace(task, wish=None))
    if task.status is not Status.HELD or task.held_from is None:
        return ActionReply(task, "not held")
    if task.held_from in AT_WORK_STATES:
        back = moves.at_work(task, task.held_from, context.now)
    else:
        back = moves.failed(task, context.now, context.now, status=task.held_from)
    return ActionReply(moves.checked_first(back, context))


def stop(task: Task, context: Context, *, is_open: bool) -> ActionReply:
    """Dead (stopped); at once, or when the retry under way has failed."""
    if task.status in ENDED_STATES:
        return ActionReply(task, f"ended already: it {_end(task)}")
    if is_open or task.status in FOLLOWED_STATES:
        return ActionReply(replace(task, wish=Wish.STOP), "stopped when its retry has failed; success wins")
    return ActionReply(moves.dead(task, DeadReason.STOPPED, context.now))


def retry_now(task: Task, context: Context, *, releases: bool = True) -> ActionReply:
    """Now, within the limits: a check for what is at work or followed, a retry for what failed.

    ``releases``: it also releases what is held. A program's request does not.
    """
    if task.status in ENDED_STATES:
        return ActionReply(task, f"it {_end(task)}: only --force retries it")
    if task.status is Status.IN_FLIGHT:
        return ActionReply(task, "a retry of it is under way")
    if task.status is Status.HELD and not releases:
        return ActionReply(task, "it is held: `redrive release` lets it go on")
    if task.status is Status.HELD:
        task = release(task, context).task
    if task.status in FAILED_STATES:
        return ActionReply(replace(task, trigger="manual", due_at=context.now))
    if not context.rules.capabilities.can_check:
        return ActionReply(task, f"{context.rules.capabilities.title} cannot be asked for its state")
    return ActionReply(replace(task, next=Operation.CHECK, due_at=context.now))


def force(task: Task, context: Context) -> ActionReply:
    """One more retry than the limit allows, never past the provider's own cap; also of what has ended."""
    if task.status in (Status.IN_FLIGHT, *FOLLOWED_STATES, *AT_WORK_STATES):
        return retry_now(task, context)
    if _used_up(task, context):
        return ActionReply(task, _cap(context))
    task = moves.granted(task, 1, context)
    if task.status in ENDED_STATES:
        task = _reopened(task, context)
    said = retry_now(task, context)
    trigger = "forced" if said.task.trigger == "manual" else "due"
    return dataclasses.replace(said, task=replace(said.task, trigger=trigger))


def revive(task: Task, context: Context) -> ActionReply:
    """A dead task gets another round of retries, and is checked first."""
    if task.status not in ENDED_STATES:
        return ActionReply(task, f"not ended: its status is {task.status}")
    if _used_up(task, context):
        return ActionReply(task, _cap(context))
    revived = _reopened(moves.granted_a_round(task, context), context)
    return ActionReply(revived, _RULED_OUT.format(revived) if ruled_out(revived, context.rules) else "")


_RULED_OUT = 'on_failure says "never" of its failure, {0.failure}: only `redrive retry --force {0.id}` retries it'


def _reopened(task: Task, context: Context) -> Task:
    return moves.checked_first(moves.new_round(task, Status.FAILED, context), context)


def _used_up(task: Task, context: Context) -> bool:
    cap = context.rules.capabilities.retry_cap
    return cap is not None and task.spent >= cap


def _cap(context: Context) -> str:
    capabilities = context.rules.capabilities
    return f"{capabilities.title} takes {capabilities.retry_cap} retries of a task, and all are spent"


def _end(task: Task) -> str:
    return f"is dead ({task.dead_reason})" if task.dead_reason else "has succeeded"
