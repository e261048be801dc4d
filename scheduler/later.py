"""Items of a loop that failed: it goes on with the others, says it once, and tries them again ever less often."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

import structlog
from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.doubling import doubled
from redrive.models.errors import Locked, Unreachable
from redrive.models.sql.db import Database, Transaction

log = structlog.get_logger("redrive.scheduler")

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 300.0
LOCKED_SECONDS = 0.5
"""What another transaction holds is asked for again soon: our own hold it for milliseconds."""
SAID_AFTER = 3
"""So many tries in a row before people are informed: ours hold an account for a moment now and then."""


@dataclass(slots=True)
class _Trouble:
    why: str
    tries: int
    again_at: float


class Later:
    """Items (accounts, batches, chores) that failed, each with the boottime of its next try."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._troubles: dict[Hashable, _Trouble] = {}

    def waits(self, item: Hashable) -> bool:
        """Whether the item is not to be tried yet."""
        trouble = self._troubles.get(item)
        return trouble is not None and boottime() < trouble.again_at

    @property
    def waiting(self) -> list[Hashable]:
        """All that are not to be tried yet."""
        return [item for item in self._troubles if self.waits(item)]

    def fine(self, item: Hashable, *, account: str = "") -> None:
        """It went well, so that its next trouble is news again."""
        trouble = self._troubles.pop(item, None)
        if trouble is not None and trouble.tries >= SAID_AFTER:
            log.info("trouble.over", account=account, why=trouble.why)
            self._write(lambda t: ledger.clear_trouble(t, account))

    def failed(self, event: str, item: Hashable, error: Exception, *, account: str = "", **words: str) -> None:
        """Put it off; log its trouble and note it for people, the same only once.

        Raises:
            Unreachable: the database is away, which is not an item's own trouble.
        """
        locked = isinstance(error, Locked)
        if isinstance(error, Unreachable) and not locked:
            raise error
        why = str(error) if locked else said_of(error)
        old = self._troubles.get(item)
        tries = old.tries + 1 if old is not None else 1
        seconds = LOCKED_SECONDS if locked else doubled(FIRST_SECONDS, tries - 1, LONGEST_SECONDS)
        self._troubles[item] = _Trouble(why, tries, boottime() + seconds)
        if tries == SAID_AFTER or (not locked and tries == 1):
            log.error(event, account=account, why=why, **words)
            self._write(lambda t: ledger.note_trouble(t, account, f"{event}: {why}"))

    def _write(self, what: Callable[[Transaction], None]) -> None:
        try:
            with self._database.transaction() as t:
                what(t)
        except (Unreachable, SQLAlchemyError) as error:
            log.warning("trouble.unnoted", error=type(error).__name__)


def said_of(error: BaseException) -> str:
    """What it is and where it was raised. Not its words nor its traceback: they hold statements, values and secrets."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__}{place}"
