"""What every event does to a task, pure: a task in, a task out.

The table of docs/lifecycle.md is this package in words, and a test holds the two together. The ledger alone calls
these functions, under its locks, and writes what they return.
"""

from .answers import answered, gave_back, lost
from .claiming import Claimed, Leave, LookFirst, consider, looks_first
from .moves import Context
from .operators import Said, force, hold, release, request, retry_now, revive, stop
from .owners import add_again, report
from .readings import Settled, read, unread

__all__ = [
    "Claimed",
    "Context",
    "Leave",
    "LookFirst",
    "Said",
    "Settled",
    "add_again",
    "answered",
    "consider",
    "force",
    "gave_back",
    "hold",
    "looks_first",
    "lost",
    "read",
    "release",
    "report",
    "request",
    "retry_now",
    "revive",
    "stop",
    "unread",
]
