"""Every write to a task's status, as named functions: who may move what has its answer here.

All of them work inside a transaction that the caller opens, and take many tasks at once in a constant number of
statements.

They lock in one order: account, batch, limits, tasks in id order, totals. Whoever waits for a lock holds none that
comes after it, so that nobody waits in a circle; what is skipped when it is locked waits for nobody. How long somebody
waits is the session's to say (:data:`models.db.SCHEDULER_LOCK_SECONDS` and others): a host, psql or a backup may hold a
row for hours.
"""

from .account_state import LOCAL, CallResult
from .accounts import AccountRow, pause, providers, refusals_after, resume, try_one
from .accounts import read as account_row
from .action_log import Who, record_action
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
from .breaker import Breaker
from .breaker import load as stored_breaker
from .breaker import row_path as breaker_path
from .check_step import advance_checks
from .claims import Batch, Claim, busy_ones, claim
from .due import Due
from .due import due as due_accounts
from .due_tasks import due_ids
from .ensuring import ensure
from .forbidden import IN_A_ROW as FORBIDDEN_IN_A_ROW
from .forbidden import Streak
from .health import call_of
from .holds import adopt_holds, unknown_accounts
from .isolation import set_aside_faulty
from .leaving import leave
from .pace import shown as pace_shown
from .permits import Path, free_at, paths_of
from .permits import leaving as leaving_moment
from .permits import take as take_moments
from .processes import BEAT_SECONDS, GONE_AFTER, SCHEDULER, WORKER, WRITING, beat, sign_off
from .processes import forget as forget_processes
from .pruning import Reference, prunable, prune_batches, prune_tasks, references
from .quarantine import Odd, not_set_aside, set_aside
from .quarantine import among as odd_among
from .retry_step import SLICE_SECONDS, Group, Permit, Step, advance_retries, finish
from .revising import release_unknown, resting_accounts
from .room import claim_seconds, had_its_time, tasks_within, without_room
from .standstills import remembered as standstills_of
from .totals import fold, totals_now
from .troubles import clear_trouble, note_trouble, troubles

__all__ = [
    "BEAT_SECONDS",
    "FORBIDDEN_IN_A_ROW",
    "GONE_AFTER",
    "LOCAL",
    "SCHEDULER",
    "SLICE_SECONDS",
    "WORKER",
    "WRITING",
    "AccountRow",
    "ActionResult",
    "Added",
    "Batch",
    "Breaker",
    "CallResult",
    "Claim",
    "Due",
    "Group",
    "Lost",
    "NewTask",
    "Odd",
    "Path",
    "Permit",
    "Reference",
    "Rescued",
    "Step",
    "Streak",
    "Who",
    "Work",
    "account_row",
    "act",
    "add",
    "adopt_holds",
    "advance_checks",
    "advance_retries",
    "beat",
    "begin",
    "breaker_path",
    "busy_ones",
    "call_of",
    "claim",
    "claim_seconds",
    "clear_trouble",
    "due_accounts",
    "due_ids",
    "ensure",
    "expired",
    "finish",
    "fold",
    "forget_processes",
    "free_at",
    "give_back_unbegun",
    "had_its_time",
    "is_done",
    "leave",
    "leaving_moment",
    "made_for",
    "not_set_aside",
    "note_trouble",
    "odd_among",
    "orphaned",
    "pace_shown",
    "paths_of",
    "pause",
    "providers",
    "prunable",
    "prune_batches",
    "prune_tasks",
    "record_action",
    "references",
    "refusals_after",
    "release_unknown",
    "report",
    "rescue",
    "resting_accounts",
    "resume",
    "set_aside",
    "set_aside_faulty",
    "sign_off",
    "standstills_of",
    "stored_breaker",
    "take_moments",
    "take_unheard",
    "tasks_within",
    "totals_now",
    "troubles",
    "try_one",
    "unheard",
    "unknown_accounts",
    "without_room",
]
