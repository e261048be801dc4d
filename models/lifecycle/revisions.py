"""What was decided under other settings, or with another release of a provider, is decided again when it matters.

A status that a policy chose stays in the row when that policy changes, so each claim asks again.
"""

from datetime import timedelta

from ..states import AT_WORK_STATES, FOLLOWED_STATES, Status
from ..task import Task, replace
from . import following, moves
from .moves import Context


def wakes(task: Task, context: Context) -> bool:
    """Whether it rests as canceled although the policy does retry what was canceled, by now."""
    return moves.rests(task) and context.rules.policy.retry_canceled


def woken(task: Task, context: Context) -> Task:
    """Due, where it :func:`wakes`: in a new round, for its age did not count while nobody meant to retry it."""
    return moves.new_round(task, task.status, context) if wakes(task, context) else task


def unheld(task: Task, context: Context) -> Task:
    """A task that was held for ``on_unknown``, once it is ``retry``: due, in a new round."""
    if task.status is not Status.HELD or task.held_from is None or context.rules.policy.on_unknown == "hold":
        return task
    anew = replace(task, round_at=context.now)
    return moves.resting(moves.failed(anew, context.now, context.now, status=task.held_from), context)


def uncheckable(task: Task, context: Context) -> Task:
    """A task whose next turn is a check, at a provider that has no status call any more.

    A retry that runs is given up when it would have been; all else is decided as where there never was such a call.
    """
    task = context.anchored(task)
    if task.status is Status.UNKNOWN:
        return following.expired(task, context)
    if task.status in FOLLOWED_STATES:
        return _waits_for_its_end(task, context)
    if task.status in AT_WORK_STATES:
        return moves.at_work(task, task.status, context.now)
    return moves.resting(moves.failed(task, context.now, context.now, status=task.status), context)


def _waits_for_its_end(task: Task, context: Context) -> Task:
    if following.timed_out(task, context):
        return following.expired(task, context)
    policy = context.rules.policy
    ends_at = task.status_since + timedelta(seconds=policy.check_timeout_seconds)
    return replace(task, due_at=max(ends_at, context.after(policy.check_max_seconds)))
