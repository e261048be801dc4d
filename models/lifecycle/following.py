"""A task whose retry runs at the provider, or may: how long it is followed, and what comes then."""

from datetime import datetime, timedelta

from ..policy import Event, next_check_seconds
from ..rules import Rules
from ..states import DeadReason, Status
from ..task import Task, replace
from . import moves
from .moves import Context


def settle_seconds(task: Task, rules: Rules) -> float:
    """How long after ``status_since`` the provider may go on showing the state from before the retry.

    A doubtful call may still be under way when its worker is given up, so it settles for as long as a call can take.
    """
    settle = rules.policy.settle_seconds
    return max(settle, rules.timeout_seconds + 1) if task.status is Status.UNKNOWN else settle


def settles_at(task: Task, rules: Rules) -> datetime:
    """The moment from which what a check says is taken for what is."""
    return task.status_since + timedelta(seconds=settle_seconds(task, rules))


def later(task: Task, context: Context) -> Task:
    """Checked again after a while that grows with its age, or given up."""
    if timed_out(task, context):
        return expired(task, context)
    age = (context.now - task.status_since).total_seconds()
    return replace(task, due_at=context.check_after(next_check_seconds(context.rules.policy, age)))


def timed_out(task: Task, context: Context) -> bool:
    """Whether it was followed for ``check_timeout_seconds``, without the times in which nobody could check."""
    return context.passed(context.rules.policy.check_timeout_seconds, task.status_since)


def expired(task: Task, context: Context) -> Task:
    """Followed for too long. A retry known to run is given up; a doubtful one is held, or tried again."""
    task = replace(task, errors=0)
    if task.status is Status.RETRYING:
        return moves.dead(task, DeadReason.EXPIRED, context.now)
    if context.rules.policy.on_unknown == "hold" and task.wish is None:
        return moves.held(task, Status.FAILED, context.now)
    return moves.came_back(task, Event.FAILED, context)
