"""What an answer, or its absence, does to a task that is in a batch."""

from datetime import datetime, timedelta
from typing import assert_never

from ..outcome import Accepted, Already, Blocked, Deferred, Outcome, Refused, Throttled, Unknown, Unsent
from ..policy import Event
from ..states import Status
from ..task import Task, replace
from . import moves
from .moves import Context

NotAccepted = Already | Refused | Deferred | Throttled | Blocked | Unknown | Unsent

SPENT = (Accepted, Unknown)
"""The outcomes that count against the limit: the provider took the retry, or may have."""


def answered(task: Task, outcome: Outcome, context: Context) -> Task:
    """The task after its attempt was closed with ``outcome``.

    A task that left the batch meanwhile (the owner reported its success) only counts what was spent.
    """
    counted = replace(task, spent=task.spent + isinstance(outcome, SPENT))
    if task.status is not Status.IN_FLIGHT:
        return counted
    if isinstance(outcome, Accepted):
        return _accepted(counted, outcome, context)
    return _not_accepted(replace(counted, last_error=outcome.message or task.last_error), outcome, context)


def _not_accepted(counted: Task, outcome: NotAccepted, context: Context) -> Task:
    match outcome:
        case Already():
            return _already(replace(counted, refusals=counted.refusals + 1), context)
        case Refused():
            return moves.dead(counted, outcome.reason, context.now)
        case Deferred():
            return _deferred(counted, context)
        case Throttled() | Blocked() | Unsent():
            return gave_back(counted, context.now)
        case Unknown():
            return _unknown(counted, context.now, context)
    assert_never(outcome)


def gave_back(task: Task, now: datetime) -> Task:
    """Back to where it was, due at once: nothing was sent, or nothing that counts."""
    return moves.failed(task, now, now, status=_was(task))


def lost(task: Task, *, was_open: bool, lease_until: datetime, context: Context) -> Task:
    """Its batch's lease is over. An open attempt may have been sent, anything else was not."""
    if task.status is not Status.IN_FLIGHT:
        return replace(task, spent=task.spent + was_open)
    if not was_open:
        return gave_back(task, context.now)
    return _unknown(replace(task, spent=task.spent + 1), lease_until, context)


def _was(task: Task) -> Status:
    return task.held_from or Status.FAILED


def _accepted(task: Task, outcome: Accepted, context: Context) -> Task:
    task = replace(task, errors=0, refusals=0, trigger="due", provider_ref=outcome.ref[:255] or task.provider_ref)
    if not (context.rules.policy.track_results and context.rules.capabilities.can_check):
        return moves.succeeded(task, context.now)
    return moves.followed(task, Status.RETRYING, _first_look(context.now, context), context.now)


def _first_look(since: datetime, context: Context) -> datetime:
    return max(context.now, since + timedelta(seconds=context.rules.policy.check_after_seconds))


def _already(task: Task, context: Context) -> Task:
    if context.rules.capabilities.can_check:
        return moves.followed(replace(task, trigger="due"), Status.UNKNOWN, context.now, context.now)
    disputed = replace(task, errors=task.errors + 1)
    return moves.came_back(disputed, Event.DISPUTED, context, status=_was(task))


def _deferred(task: Task, context: Context) -> Task:
    undelivered = replace(task, errors=task.errors + 1)
    return moves.came_back(undelivered, Event.UNDELIVERED, context, status=_was(task))


def _unknown(task: Task, since: datetime, context: Context) -> Task:
    """It may run now. ``since`` is when the answer failed to come: belief in an old state settles from there."""
    task = replace(task, errors=0, refusals=0, trigger="due")
    if context.rules.capabilities.can_check:
        return moves.followed(task, Status.UNKNOWN, _first_look(since, context), since)
    if context.rules.policy.on_unknown == "hold" and task.wish is None:
        return moves.held(task, _was(task), context.now)
    return moves.came_back(task, Event.FAILED, context, status=_was(task))
