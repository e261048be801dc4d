"""What the owner of a task says of it: that it exists, and what became of it elsewhere."""

from datetime import datetime

from ..states import AT_WORK_STATES, ENDED_STATES, FAILED_STATES, Status
from ..task import Task, by_now, replace
from . import moves
from .moves import Context
from .operators import ActionReply


def add_again(task: Task, new: Task, context: Context) -> Task:
    """The same task added once more: nothing moves, except that work may now have failed.

    A nightly export must not reopen what succeeded, nor reset what is under way.
    """
    if task.status in AT_WORK_STATES and new.status in FAILED_STATES:
        return moves.new_round(replace(_failed_anew(task, new), failed_at=new.failed_at), new.status, context)
    if _fails_anew(task, new.status):
        return moves.new_round(moves.granted_a_round(_failed_anew(task, new), context), new.status, context)
    if task.status in FAILED_STATES:
        return _filled(task, new)
    return task


def _fails_anew(task: Task, status: Status) -> bool:
    """Whether it rests as canceled and its owner says that it has failed: somebody ran it again meanwhile."""
    return status is Status.FAILED and moves.rests(task)


def _failed_anew(task: Task, new: Task) -> Task:
    """The same, but what it failed of is news."""
    words, failure = new.last_error or task.last_error, new.failure or task.failure
    return replace(_filled(task, new), last_error=words, failure=failure)


def _filled(task: Task, new: Task) -> Task:
    """Fields that were empty take what the second telling knows."""
    return replace(
        task,
        params=task.params or new.params,
        origin=task.origin or new.origin,
        max_retries=new.max_retries if task.max_retries is None else task.max_retries,
        last_error=task.last_error or new.last_error,
        failure=task.failure or new.failure,
        failed_at=task.failed_at or new.failed_at,
    )


def report(
    task: Task, status: Status, context: Context, *, at: datetime | None, reason: str = "", is_open: bool = False
) -> ActionReply:
    """The owner learned that the task is ``status`` (pending, running, failed, canceled or succeeded) since ``at``."""
    at = by_now(at, context.now) if at is not None else None
    if at is not None and at < by_now(task.status_since, context.now):
        return ActionReply(task, f"ignored: older than what is known since {task.status_since:%Y-%m-%d %H:%M:%S} UTC")
    if status is Status.SUCCEEDED:
        return _reported_success(task, context)
    if status in AT_WORK_STATES:
        return _reported_work(task, status, context, is_open=is_open)
    return _reported_failure(task, status, at or context.now, reason, context)


def _reported_success(task: Task, context: Context) -> ActionReply:
    """Wins everywhere; an open attempt is still closed by its own batch."""
    if task.status is Status.SUCCEEDED:
        return ActionReply(task, "known already")
    return ActionReply(moves.succeeded(task, context.now))


def _reported_work(task: Task, status: Status, context: Context, *, is_open: bool) -> ActionReply:
    match task.status:
        case Status.PENDING | Status.RUNNING:
            return ActionReply(moves.at_work(task, status, context.now))
        case Status.IN_FLIGHT if is_open:
            return ActionReply(task, "ignored: a retry of it is being sent")
        case Status.RETRYING:
            return ActionReply(task, "known already: its retry is followed")
        case Status.UNKNOWN:
            return ActionReply(replace(task, due_at=context.now))
        case Status.HELD:
            return ActionReply(replace(task, held_from=status))
        case _:
            fresh = replace(_reopened(task, context), seen=None, round_at=context.now)
            return ActionReply(moves.at_work(fresh, status, context.now))


def _reopened(task: Task, context: Context) -> Task:
    """What had ended and runs again has a round of retries for its next failure, granted once."""
    has_one = task.granted >= task.spent
    return task if has_one or task.status not in ENDED_STATES else moves.granted_a_round(task, context)


def _reported_failure(task: Task, status: Status, at: datetime, reason: str, context: Context) -> ActionReply:
    news = moves.blamed(replace(task, last_error=reason or task.last_error, failed_at=at), "", reason, context)
    forgotten = replace(news, seen=None)  # it was seen before a run that somebody else has made
    match task.status:
        case Status.PENDING | Status.RUNNING:
            return ActionReply(moves.new_round(news, status, context))
        case Status.CANCELED if _fails_anew(task, status):
            return ActionReply(moves.new_round(moves.granted_a_round(news, context), status, context))
        case Status.FAILED | Status.CANCELED:
            return ActionReply(forgotten)
        case Status.IN_FLIGHT:
            return ActionReply(task, "ignored: old news, a retry of it is under way")
        case Status.RETRYING | Status.UNKNOWN:
            return ActionReply(replace(task, due_at=context.now))
        case Status.HELD:
            return ActionReply(replace(forgotten, held_from=status))
        case Status.SUCCEEDED:
            return ActionReply(moves.new_round(moves.granted_a_round(news, context), status, context))
        case _:
            return ActionReply(task, f"ignored: it is dead ({task.dead_reason}); `redrive revive` brings it back")
