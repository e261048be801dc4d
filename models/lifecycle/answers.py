"""What an answer, or its absence, does to a task that is in a batch."""

from datetime import datetime
from typing import assert_never

from ..outcome import Accepted, Already, Blocked, Deferred, Outcome, Refused, Throttled, Unknown, Unsent
from ..policy import Event, backoff_seconds, jittered
from ..states import Operation, Status
from ..task import Task, replace
from . import moves
from .moves import Context

NotAccepted = Already | Refused | Deferred | Throttled | Blocked | Unknown | Unsent

SPENT = (Accepted, Unknown)
"""The outcomes that count against the limit: the provider took the retry, or may have."""


def answered(task: Task, outcome: Outcome, context: Context, *, probe: bool = False) -> Task:
    """The task after its attempt was closed with ``outcome``.

    A task that left the batch meanwhile (the owner reported its success) only counts what was spent.

    ``probe``: the attempt tried whether the account works again; that it does not is not the task's fault.
    """
    task = context.anchored(task)
    counted = replace(task, spent=task.spent + isinstance(outcome, SPENT))
    if task.status is not Status.IN_FLIGHT:
        return counted
    if isinstance(outcome, Accepted):
        return _accepted(counted, outcome, context)
    counted = replace(counted, last_error=outcome.message or task.last_error)
    return _not_accepted(counted, outcome, context, probe=probe)


def _not_accepted(counted: Task, outcome: NotAccepted, context: Context, *, probe: bool) -> Task:
    match outcome:
        case Already():
            return _already(replace(counted, refusals=moves.one_more(counted.refusals)), context)
        case Refused():
            return moves.dead(counted, outcome.reason, context.now)
        case Deferred(of_task=True):
            return moves.came_back(moves.erred(counted), Event.UNDELIVERED, context, status=_was(counted))
        case Deferred() if not probe:
            return _kept_back(counted, context)
        case Deferred() | Throttled() | Blocked() | Unsent():
            return gave_back(counted, context.now)
        case Unknown():
            return _unknown(_referred(counted, outcome.ref), context.now, context)
    assert_never(outcome)


def gave_back(task: Task, now: datetime) -> Task:
    """Back to where it was, due at once: nothing was sent, or nothing that counts."""
    return moves.failed(task, now, now, status=_was(task))


def checkable_again(task: Task, now: datetime) -> Task:
    """A check of it was claimed and never asked: it is due at once, unless it waits for none any more."""
    return replace(task, due_at=now) if task.due_at is not None and task.next is Operation.CHECK else task


def lost(task: Task, *, was_open: bool, lease_until: datetime, context: Context) -> Task:
    """Its batch's lease is over. An open attempt may have been sent, anything else was not."""
    if task.status is not Status.IN_FLIGHT:
        return replace(task, spent=task.spent + was_open)
    if not was_open:
        return gave_back(task, context.now)
    return _unknown(replace(context.anchored(task), spent=task.spent + 1), lease_until, context)


def _kept_back(task: Task, context: Context) -> Task:
    """The way to the provider is closed, which is not the task's fault: it waits, and grows no older in errors."""
    wait = jittered(context.rules.policy, backoff_seconds(context.rules.policy, 1), context.rng)
    return moves.failed(task, context.after(wait), context.now, status=_was(task))


def _referred(task: Task, ref: str) -> Task:
    """The id that the provider gave for the run, which checks follow from now on."""
    return replace(task, provider_ref=ref[:255] or task.provider_ref)


def _was(task: Task) -> Status:
    return task.held_from or Status.FAILED


def _accepted(task: Task, outcome: Accepted, context: Context) -> Task:
    task = _referred(replace(task, errors=0, refusals=0, trigger="due"), outcome.ref)
    if not (context.rules.policy.track_results and context.rules.capabilities.can_check):
        return moves.succeeded(task, context.now)
    return moves.followed(task, Status.RETRYING, _first_check(context.now, context), context.now)


def _first_check(since: datetime, context: Context) -> datetime:
    return max(context.now, context.check_after(context.rules.policy.check_after_seconds, since))


def _already(task: Task, context: Context) -> Task:
    if context.rules.capabilities.can_check:
        # From here on errors count checks in a row; the call was delivered.
        delivered = replace(task, errors=0, trigger="due")
        return moves.followed(delivered, Status.UNKNOWN, context.now, context.now)
    return moves.came_back(moves.erred(task), Event.DISPUTED, context, status=_was(task))


def _unknown(task: Task, since: datetime, context: Context) -> Task:
    """It may run now. ``since`` is when the answer failed to come: the first check counts from there.

    Belief in an old state settles from now: a worker that is given up may have made its call at the last moment.
    """
    task = replace(task, errors=0, refusals=0, trigger="due")
    if context.rules.capabilities.can_check:
        return moves.followed(task, Status.UNKNOWN, _first_check(since, context), context.now)
    if context.rules.policy.on_unknown == "hold" and task.wish is None:
        return moves.held(task, _was(task), context.now)
    return moves.came_back(task, Event.FAILED, context, status=_was(task))
