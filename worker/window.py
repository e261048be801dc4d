"""When calls may leave: the window of a call that was opened, and a permit for each call beyond it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.errors import Unreachable
from redrive.models.rules import LATE_SECONDS, Rules
from redrive.models.sql.db import Database

from .trouble import Trouble

MARGIN_SECONDS = 1.0
"""Between the end of the last call a lease allows and the end of the lease: time to record it."""


@dataclass(slots=True)
class Window:
    """When calls of one permit may leave.

    Attributes:
        leave_after: the boottime before which the next may not leave.
        leave_by: the boottime after which its permit is too old.
        not_after: the boottime after which none may leave: the lease would not outlast it.
        until: the moment ``not_after`` stands for, in the database's time.
        may_go_on: asked before any further permit. The first call is open, and is finished whatever comes.
        calls: API paths of the calls made beyond the first.
        heard_at: the boottime up to which answers were known to the step that opened its attempts.
        trouble: what may keep it here all the same.
    """

    leave_after: float
    leave_by: float
    not_after: float
    until: datetime
    may_go_on: Callable[[], bool]
    calls: list[str] = field(default_factory=list)
    heard_at: float = field(default_factory=boottime)
    trouble: Trouble | None = None


class Permits:
    """Permits for one account's calls beyond those that were opened; without a database every call has one at once.

    Args:
        threads: where the database is asked.
    """

    def __init__(self, rules: Rules, database: Database | None, threads: Executor | None = None) -> None:
        self._rules = rules
        self._database = database
        self._threads = threads

    async def one_more(self, path: str, window: Window) -> bool:
        """A permit for one more call, which the window counts from now on."""
        if not await self.renew(path, window):
            return False
        window.calls.append(path)
        return True

    async def renew(self, path: str, window: Window) -> bool:
        """A permit, whose moment becomes the window's.

        It is taken when its moment is near and not before: what is granted holds, whatever penalty comes meanwhile.
        """
        while window.may_go_on():
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self._take, path, window.until)
            if found is None:
                return False
            if isinstance(found, tuple):
                window.leave_after, window.leave_by = found
                return True
            await asyncio.sleep(max(0.0, found - boottime()))
        return False

    def _take(self, path: str, until: datetime) -> tuple[float, float] | float | None:
        """A permit, or the boottime at which to ask again; None when there is none to be had before ``until``."""
        if self._database is None:
            return boottime(), boottime() + LATE_SECONDS
        try:
            with self._database.transaction() as t:
                soon = min(until, t.now + timedelta(seconds=ledger.SLICE_SECONDS))
                if moments := ledger.take_moments(t, self._rules, {path: 1}, soon)[path]:
                    return ledger.leaving_moment(t, moments[0])
                free_at = ledger.free_at(ledger.paths_of(t, self._rules), path, t.now)
                return t.not_before(free_at) if free_at <= until else None
        except (Unreachable, SQLAlchemyError):
            return None
