"""Giving back batches that wait for their moment when the process ends: many of them in one transaction each time."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Final
from uuid import UUID

from sqlalchemy.exc import SQLAlchemyError

from redrive.models import ledger
from redrive.models.errors import Unreachable
from redrive.models.ledger import Work
from redrive.models.sql.db import Database

from .desk import Desk

MOST: Final = 200
"""Batches in one transaction."""


_Leaver = tuple[Work, Mapping[str, int], "asyncio.Future[bool]"]


class Leaving:
    """The end of all batches of which nothing is under way; what cannot go this way ends like any other batch.

    Args:
        database: where they are.
        desk: does the transactions.
    """

    def __init__(self, database: Database, desk: Desk) -> None:
        self._database = database
        self._desk = desk
        self._waiting: dict[UUID, _Leaver] = {}
        self._busy = False

    async def leave(self, work: Work, counts: Mapping[str, int]) -> bool:
        """Give the batch back; False when it must end by itself."""
        if work.probe:
            return False
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[work.id] = work, dict(counts), future
        if not self._busy:
            self._busy = True
            await asyncio.sleep(0)  # a drain wakes all that wait at once
            await self._give_back_all()
            self._busy = False
        return await future

    async def _give_back_all(self) -> None:
        """For jobs that come meanwhile, too."""
        while part := dict(islice(self._waiting.items(), MOST)):
            try:
                done = await self._desk.step(self._committed, part)
            except (Unreachable, SQLAlchemyError):
                done = frozenset()
            for batch_id, (_, _, future) in part.items():
                del self._waiting[batch_id]
                future.set_result(batch_id in done)

    def _committed(self, part: Mapping[UUID, _Leaver]) -> frozenset[UUID]:
        with self._database.transaction() as t:
            works = {batch_id: work for batch_id, (work, _, _) in part.items()}
            return ledger.leave(t, works, {batch_id: counts for batch_id, (_, counts, _) in part.items()})
