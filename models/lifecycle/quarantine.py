"""Tasks that Redrive itself sets aside: why a hold that nobody asked for came about, and the way back."""

from ..states import AT_WORK_STATES, FAILED_STATES, FOLLOWED_STATES, SetAside, Status
from ..task import Task, replace
from . import moves
from .moves import Context
from .operators import release


def set_aside(was: Task, now: Task) -> SetAside | None:
    """Why an answer or a check has made a task held, where no operator wished so; None where it has not."""
    if now.status is not Status.HELD or was.status is Status.HELD or was.wish is not None:
        return None
    return SetAside.UNREADABLE if was.status in FAILED_STATES else SetAside.UNKNOWN


def readmitted(task: Task, context: Context, *, spent: int = 0) -> Task:
    """A task that is let out of quarantine: checked before anything else, for much may have happened meanwhile.

    ``spent``: what its attempts say was spent, where the row itself was not to be trusted.
    """
    task = context.anchored(replace(task, spent=max(task.spent, spent)))
    if task.status is Status.HELD:
        return release(task, context).task
    if task.status in FOLLOWED_STATES:
        return replace(task, due_at=context.now)
    if task.status in FAILED_STATES:
        return moves.resting(moves.checked_first(replace(task, due_at=context.now), context), context)
    return moves.at_work(task, task.status, context.now) if task.status in AT_WORK_STATES else task
