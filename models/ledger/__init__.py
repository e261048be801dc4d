"""Every write to a task's status, as named functions: who may move what has its answer here.

All of them work inside a transaction that the caller opens, take many tasks at once in a constant number of
statements, and lock in one order: account, batch, limits, tasks in id order, totals.
"""

from .accounts import ensure, pause, resume
from .actions import Who
from .adding import Added, NewTask, add
from .batches import Lost, Work, begin, expired, is_done, rescue, to_publish, unheard
from .claims import Batch, Claim, claim
from .looking import advance_checks
from .people import Told, act, report
from .processes import beat, ended, forget
from .pruning import prunable, prune_batches, prune_tasks
from .sending import Group, Permit, Step, advance, finish
from .standing import LOCAL, Answered

__all__ = [
    "LOCAL",
    "Added",
    "Answered",
    "Batch",
    "Claim",
    "Group",
    "Lost",
    "NewTask",
    "Permit",
    "Step",
    "Told",
    "Who",
    "Work",
    "act",
    "add",
    "advance",
    "advance_checks",
    "beat",
    "begin",
    "claim",
    "ended",
    "ensure",
    "expired",
    "finish",
    "forget",
    "is_done",
    "pause",
    "prunable",
    "prune_batches",
    "prune_tasks",
    "report",
    "rescue",
    "resume",
    "to_publish",
    "unheard",
]
