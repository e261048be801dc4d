"""Every write to a task's status, as named functions: who may move what has its answer here.

All of them work inside a transaction that the caller opens, take many tasks at once in a constant number of
statements, and lock in one order: account, batch, limits, tasks in id order, totals.
"""

from .accounts import ensure, pause, resume
from .actions import Who
from .adding import Added, NewTask, add
from .batches import (
    Lost,
    Rescued,
    Work,
    begin,
    expired,
    give_back_unbegun,
    is_done,
    made_for,
    orphaned,
    rescue,
    to_publish,
    unheard,
)
from .claims import Batch, Claim, claim, due_ids
from .isolation import faulty
from .looking import advance_checks
from .people import Told, act, report
from .pruning import prunable, prune_batches, prune_tasks
from .quarantine import Odd, set_aside
from .sending import Group, Permit, Step, advance, finish
from .standing import LOCAL, Answered
from .totals import fold
from .troubles import trouble, trouble_over, troubles

__all__ = [
    "LOCAL",
    "Added",
    "Answered",
    "Batch",
    "Claim",
    "Group",
    "Lost",
    "NewTask",
    "Odd",
    "Permit",
    "Rescued",
    "Step",
    "Told",
    "Who",
    "Work",
    "act",
    "add",
    "advance",
    "advance_checks",
    "begin",
    "claim",
    "due_ids",
    "ensure",
    "expired",
    "faulty",
    "finish",
    "fold",
    "give_back_unbegun",
    "is_done",
    "made_for",
    "orphaned",
    "pause",
    "prunable",
    "prune_batches",
    "prune_tasks",
    "report",
    "rescue",
    "resume",
    "set_aside",
    "to_publish",
    "trouble",
    "trouble_over",
    "troubles",
    "unheard",
]
