"""What every event does to a task, pure: a task in, a task out.

The table of docs/lifecycle.md is this package in words, and a test holds the two together. The ledger alone calls
these functions, under its locks, and writes what they return.
"""

from .answers import answered, checkable_again, gave_back, lost
from .claiming import CheckFirst, Claimed, Decision, Leave, SetAsideTask, checks_first, consider
from .following import settle_seconds, settles_at
from .moves import Context
from .operators import ActionReply, force, hold, release, retry_now, revive, stop
from .owners import add_again, report
from .quarantine import readmitted, set_aside
from .readings import Settled, read
from .revisions import uncheckable, unheld, wakes, woken
from .unread import unread

__all__ = [
    "ActionReply",
    "CheckFirst",
    "Claimed",
    "Context",
    "Decision",
    "Leave",
    "SetAsideTask",
    "Settled",
    "add_again",
    "answered",
    "checkable_again",
    "checks_first",
    "consider",
    "force",
    "gave_back",
    "hold",
    "lost",
    "read",
    "readmitted",
    "release",
    "report",
    "retry_now",
    "revive",
    "set_aside",
    "settle_seconds",
    "settles_at",
    "stop",
    "uncheckable",
    "unheld",
    "unread",
    "wakes",
    "woken",
]
