"""Questions to the database: read-only, bounded, and never answered by reading what ended.

Every function takes a transaction, best one of ``Database.reading``, and returns frozen values;
:func:`plain` makes JSON of them.
"""

from .actions import ActionFilter, Done, done
from .facts import facts
from .history import Action, Archive, Attempt, History, history
from .names import check_accounts, check_names, suggestion
from .news import News, Obstacles, news, obstacles
from .overview import AccountOverview, BatchState, BreakerState, Overview, Pause, Penalty, in_the_way, overview
from .plain import plain
from .processes import Missing, Process, missing, processes
from .prunable import ended_accounts, prunable_batches, prunable_tasks
from .set_aside import TaskSetAside, set_aside_among, tasks_set_aside
from .tasks import (
    TaskFilter,
    all_ids,
    by_ids,
    find,
    get,
    ids_by_identity,
    ids_of_batches,
    page_of_ids,
    still_matching,
)

__all__ = [
    "AccountOverview",
    "Action",
    "ActionFilter",
    "Archive",
    "Attempt",
    "BatchState",
    "BreakerState",
    "Done",
    "History",
    "Missing",
    "News",
    "Obstacles",
    "Overview",
    "Pause",
    "Penalty",
    "Process",
    "TaskFilter",
    "TaskSetAside",
    "all_ids",
    "by_ids",
    "check_accounts",
    "check_names",
    "done",
    "ended_accounts",
    "facts",
    "find",
    "get",
    "history",
    "ids_by_identity",
    "ids_of_batches",
    "in_the_way",
    "missing",
    "news",
    "obstacles",
    "overview",
    "page_of_ids",
    "plain",
    "processes",
    "prunable_batches",
    "prunable_tasks",
    "set_aside_among",
    "still_matching",
    "suggestion",
    "tasks_set_aside",
]
