"""Questions to the database: read-only, bounded, and never answered by reading what ended.

Every function takes a transaction, best one of :meth:`models.db.Database.reading`, and returns frozen values;
:func:`plain` makes JSON of them.
"""

from .facts import facts
from .history import Action, Archive, Attempt, History, history
from .overview import AccountOverview, BatchState, BreakerState, Overview, Pause, Penalty, overview
from .plain import plain
from .prunable import ended_accounts, prunable_batches, prunable_tasks
from .tasks import TaskFilter, count, find, get, page_of_ids

__all__ = [
    "AccountOverview",
    "Action",
    "Archive",
    "Attempt",
    "BatchState",
    "BreakerState",
    "History",
    "Overview",
    "Pause",
    "Penalty",
    "TaskFilter",
    "count",
    "ended_accounts",
    "facts",
    "find",
    "get",
    "history",
    "overview",
    "page_of_ids",
    "plain",
    "prunable_batches",
    "prunable_tasks",
]
