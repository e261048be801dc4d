"""Every write to a task's status, as named functions: who may move what has its answer here.

All of them work inside a transaction that the caller opens, and take many tasks at once in a constant number of
statements.

They lock in one order: account, batch, limits, tasks in id order, totals. Who waits for a lock holds none that comes
after it, so nobody waits in a circle; what is skipped when it is locked waits for nobody.

The race it closes: a worker records that a call was throttled (limits) and then that the account is to be paused
(account), while an operator resumes the account (account) and thereby closes its breaker (limits). Were each to begin
with the row it cares about, each would hold what the other waits for, and the database would end one of them. Three
things do not work instead. To repeat what was ended: it may be the recording of calls that were made, and until it is
repeated nobody else knows of them. To lock nothing and guard each UPDATE by what was read: the hundredth refusal pauses
an account only if nobody counts the ninety-ninth at the same time, and a guard says too late that somebody did. To
take one lock for all that belongs to an account: its batches would wait for each other at every step, which is why good
news locks no account at all (``account_state``).

Tasks are locked by ascending id before they are written: an UPDATE alone locks rows in the order in which its plan
happens to find them. Totals are moved by appending; only the fold, which takes nothing else, locks them.

How long somebody waits is the session's to say (:data:`redrive.models.sql.db.SCHEDULER_LOCK_SECONDS` and others): a
host, psql or a backup may hold a row for hours. ``tests/database/test_lock_order.py`` watches every statement.

What others may call is listed in ``__all__``; the modules beside this one are nobody else's business.
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
from .classifying import classify
from .due import Due
from .due import due as due_accounts
from .due_tasks import due_ids
from .ensuring import ensure
from .forbidden import IN_A_ROW as FORBIDDEN_IN_A_ROW
from .forbidden import Streak
from .group_step import WantedStep, advance_together, begin_together
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
from .pruning import Reference, may_be_pruned, prunable, prune_batches, prune_tasks, references
from .quarantine import Odd, not_set_aside, set_aside
from .quarantine import among as odd_among
from .retry_step import SLICE_SECONDS, Group, Permit, Step, advance_retries, finish
from .revising import release_unknown, resting_accounts
from .room import Fitting, OnItsWay, claim_seconds, fitting, without_room
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
    "Fitting",
    "Group",
    "Lost",
    "NewTask",
    "Odd",
    "OnItsWay",
    "Path",
    "Permit",
    "Reference",
    "Rescued",
    "Step",
    "Streak",
    "WantedStep",
    "Who",
    "Work",
    "account_row",
    "act",
    "add",
    "adopt_holds",
    "advance_checks",
    "advance_retries",
    "advance_together",
    "beat",
    "begin",
    "begin_together",
    "breaker_path",
    "busy_ones",
    "call_of",
    "claim",
    "claim_seconds",
    "classify",
    "clear_trouble",
    "due_accounts",
    "due_ids",
    "ensure",
    "expired",
    "finish",
    "fitting",
    "fold",
    "forget_processes",
    "free_at",
    "give_back_unbegun",
    "is_done",
    "leave",
    "leaving_moment",
    "made_for",
    "may_be_pruned",
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
    "totals_now",
    "troubles",
    "try_one",
    "unheard",
    "unknown_accounts",
    "without_room",
]
