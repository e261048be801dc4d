"""Setting aside the one task that a statement over many fails over, and saying so."""

from collections.abc import Sequence

import structlog

from models import ledger
from models.db import Database
from models.ledger.isolation import Attempt

log = structlog.get_logger("redrive.scheduler")


def set_aside(database: Database, account: str, ids: Sequence[int], attempt: Attempt) -> bool:
    """Find the tasks that ``attempt`` fails over, one by one, and set them aside; False if it fails over none alone."""
    odd = ledger.set_aside_faulty(database, account, ids, attempt)
    for task_id, why in odd.items():
        log.error("task.set_aside", account=account, task=task_id, why=why)
    return bool(odd)
