"""Every write to a task's status, as named functions: who may move what has its answer here.

All of them work inside a transaction that the caller opens, and take many tasks at once in a constant number of
statements.

They lock in one order: account, batch, limits, tasks in id order, totals. A transaction that waits for a lock
holds none that comes after it, so none wait in a circle; what is skipped when it is locked makes nobody wait. The
session bounds the wait (:data:`redrive.models.sql.db.SCHEDULER_LOCK_SECONDS` and others): a host, psql or a backup may
hold a row for hours.
"""

from .account_state import LOCAL, CallResult
from .accounts import pause, resume, try_one
from .action_log import Who
from .actions import ActionResult, act, report
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
    take_unheard,
    unheard,
)
from .check_step import advance_checks
from .claims import Batch, Claim, claim
from .due_tasks import due_ids
from .ensuring import ensure
from .holds import adopt_holds, unknown_accounts
from .isolation import set_aside_faulty
from .leaving import leave
from .processes import beat, sign_off
from .processes import forget as forget_processes
from .pruning import Reference, prunable, prune_batches, prune_tasks, references
from .quarantine import Odd, set_aside
from .retry_step import Group, Permit, Step, advance_retries, finish
from .revising import release_unknown, resting_accounts
from .room import without_room
from .totals import fold
from .troubles import clear_trouble, note_trouble, troubles

__all__ = [
    "LOCAL",
    "ActionResult",
    "Added",
    "Batch",
    "CallResult",
    "Claim",
    "Group",
    "Lost",
    "NewTask",
    "Odd",
    "Permit",
    "Reference",
    "Rescued",
    "Step",
    "Who",
    "Work",
    "act",
    "add",
    "adopt_holds",
    "advance_checks",
    "advance_retries",
    "beat",
    "begin",
    "claim",
    "clear_trouble",
    "due_ids",
    "ensure",
    "expired",
    "finish",
    "fold",
    "forget_processes",
    "give_back_unbegun",
    "is_done",
    "leave",
    "made_for",
    "note_trouble",
    "orphaned",
    "pause",
    "prunable",
    "prune_batches",
    "prune_tasks",
    "references",
    "release_unknown",
    "report",
    "rescue",
    "resting_accounts",
    "resume",
    "set_aside",
    "set_aside_faulty",
    "sign_off",
    "take_unheard",
    "troubles",
    "try_one",
    "unheard",
    "unknown_accounts",
    "without_room",
]
