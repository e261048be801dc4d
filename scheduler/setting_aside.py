"""Setting aside the one task that a statement over many fails over."""

from collections.abc import Sequence

import structlog

from models import ledger
from models.db import Database
from models.ledger.isolation import Attempt
from models.states import SetAside

log = structlog.get_logger("redrive.scheduler")


def set_aside(database: Database, account: str, ids: Sequence[int], attempt: Attempt) -> bool:
    """Find the tasks that ``attempt`` fails over, one by one, and set them aside; False if it fails over none alone."""
    odd = ledger.faulty(database, ids, attempt)
    if odd:
        with database.transaction() as t:
            ledger.set_aside(t, [ledger.Odd(i, account, SetAside.ROW, why) for i, why in odd.items()])
    for task_id, why in odd.items():
        log.error("task.set_aside", account=account, task=task_id, why=why)
    return bool(odd)
