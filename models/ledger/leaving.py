"""Many batches given back at once: their worker ends, and nothing of them is under way."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import select

from ..lifecycle import gave_back
from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import tasks
from ..states import Operation
from . import quarantine
from .batches import Work, end_all, give_back_checks, lock_free_own
from .rows import free_by_ids, store, unanswered


def leave(t: Transaction, works: Mapping[UUID, Work], counts: Mapping[UUID, Mapping[str, int]]) -> frozenset[UUID]:
    """End those of the batches that are ours still and that nothing stands in the way of; returns them.

    Nothing here waits for a lock, so that accounts need none: what somebody else holds is left to its own job's end,
    and so is a batch that tries whether its account works again.
    """
    own = lock_free_own(t, works.values())
    mine = [work for work in works.values() if work.id in own and not work.probe]
    stuck = _give_back(t, [work for work in mine if work.operation is Operation.RETRY])
    give_back_checks(t, [work for work in mine if work.operation is Operation.CHECK])
    done = frozenset(work.id for work in mine) - stuck
    end_all(t, {batch_id: counts[batch_id] for batch_id in done})
    return done


def _give_back(t: Transaction, works: Sequence[Work]) -> frozenset[UUID]:
    """Give the tasks back that were never sent; returns the batches that some of theirs cannot leave."""
    holders = {task.id: work.id for work in works for task in work.tasks}
    held_up = {*quarantine.among(t, sorted(holders)), *unanswered(t, holders)}
    free = [task for task in free_by_ids(t, holders.keys() - held_up) if task.batch_id == holders[task.id]]
    store(t, [(task, gave_back(task, t.now)) for task in free])
    left = t.rows(select(tasks.c.id, tasks.c.batch_id).where(one_of(tasks.c.id, holders)))
    held_up |= {row.id for row in left if row.batch_id == holders[row.id]}
    return frozenset(holders[task_id] for task_id in held_up)
