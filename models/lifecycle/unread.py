"""What a check does that brought no reading: it was never made, or nobody could read its answer."""

from ..outcome import Accepted, Already, Deferred, Outcome, Refused, Unknown, Unreadable
from ..policy import unread_check_seconds
from ..states import AT_WORK_STATES, FAILED_STATES, FOLLOWED_STATES, DeadReason, Status
from ..task import Task, replace
from . import following, moves
from .moves import Context

LONGEST_QUOTE = 500
"""Words may be quoted in words again, and a row holds only so many."""
_REPEATED = 2


def unread(task: Task, found: Outcome | Unreadable, context: Context, *, probe: bool = False) -> Task:
    """The task after a check without a reading.

    A check that the account's trouble prevented does not count, and is made up for: the account, its path or its
    breaker hold it back until then. Only what the task's own check brought counts against the task.

    Args:
        task: as it is.
        found: what came instead of a reading.
        context: what decides.
        probe: the check tried whether the account works again, so that silence is not news of the task.
    """
    task = replace(context.anchored(task), last_error=found.message or task.last_error)
    match found:
        case Unreadable() | Accepted() | Already() | Refused():  # the others answer no check, and bound it all the same
            return _not_understood(task, context)
        case Deferred(of_task=True):
            return _counted(task, context, was_answered=True)
        case Unknown() if not probe:
            return _counted(task, context, was_answered=False)
        case Deferred() if not probe:
            return replace(task, due_at=context.check_after(context.rules.policy.check_after_seconds))
        case _:
            return replace(task, due_at=context.now)


def _not_understood(task: Task, context: Context) -> Task:
    """Where the retry was refused too: refused for good, once that was so until an old state had settled."""
    repeated = task.refusals and task.errors + 1 >= _REPEATED and task.status not in AT_WORK_STATES
    if not repeated or context.now < following.settles_at(task, context.rules):
        return _counted(task, context, was_answered=True)
    if task.wish is not None:
        return moves.failed(task, context.now, context.now)
    return moves.dead(task, DeadReason.REFUSED, context.now)


def _counted(task: Task, context: Context, *, was_answered: bool) -> Task:
    """Later, ever less often; but not for ever."""
    policy = context.rules.policy
    task = moves.erred(task)
    if task.status in FOLLOWED_STATES and following.timed_out(task, context):
        return following.expired(task, context)
    if task.errors >= policy.max_errors and task.status is not Status.RETRYING:
        return _given_up(task, context)
    return replace(
        task, due_at=context.check_after(unread_check_seconds(policy, task.errors, was_answered=was_answered))
    )


def _given_up(task: Task, context: Context) -> Task:
    """As many in a row as allowed. Whether it may be retried is for a person to say, or for ``on_unknown``."""
    if task.status is Status.UNKNOWN:
        return following.expired(task, context)
    if task.status in FAILED_STATES:
        return moves.held(replace(task, errors=0), task.status, context.now)
    said = task.last_error[:LONGEST_QUOTE] or "nothing"
    words = f"its checks have stopped: {task.errors} in a row could not be read; the last words about it: {said}"
    return moves.at_work(replace(task, last_error=words), task.status, context.now)
