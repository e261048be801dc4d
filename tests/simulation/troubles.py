"""What goes wrong beside the calls, and the people who meddle and put right."""

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from sqlalchemy import Select, select

from redrive.models import ledger
from redrive.models.errors import Locked
from redrive.models.ledger import Who
from redrive.models.sql.db import Database
from redrive.models.sql.tables import accounts, tasks
from tests.simulation.broker import Broker
from tests.simulation.ending import Ending
from tests.simulation.history import History
from tests.simulation.plan import Plan, dice
from tests.simulation.process import Machine

OPERATOR = Who("operator", "simulated")


@dataclass
class Troubles:
    """Each is a coroutine that goes on until it is canceled."""

    plan: Plan
    machine: Machine
    database: Database
    ending: Ending

    @property
    def history(self) -> History:
        return self.machine.history

    @property
    def broker(self) -> Broker:
        return self.machine.broker

    def all(self) -> Iterator[Coroutine[Any, Any, None]]:
        yield from (self._kills(), self._database_outages(), self._broker_outages(), self._people(), self._resumes())

    def _dice(self, concern: str) -> Random:
        return dice(self.plan.seed, concern)

    async def _kills(self) -> None:
        rng = self._dice("kills")
        while self.plan.kills_per_minute:
            await asyncio.sleep(rng.expovariate(self.plan.kills_per_minute / 60))
            if alive := self.machine.processes:
                process = rng.choice(alive)
                if rng.random() < 0.7:
                    process.kill()
                else:
                    self.history.fault(process.name, "told to stop")
                    process.end()

    async def _database_outages(self) -> None:
        rng = self._dice("database")
        while self.plan.database_outages:
            await asyncio.sleep(rng.expovariate(1 / 120))
            self.history.fault("database", "database away")
            self.machine.weather.database_is_away = True
            await asyncio.sleep(rng.choice((1, 5, 40)) * rng.random())
            self.machine.weather.database_is_away = False

    async def _broker_outages(self) -> None:
        rng = self._dice("outages")
        while self.plan.broker_outages:
            await asyncio.sleep(rng.expovariate(1 / 120))
            if rng.random() < 0.5:
                self.broker.lose_everything()
            else:
                self.history.fault("broker", "broker refuses")
                self.broker.refuses = True
                await asyncio.sleep(rng.choice((2, 60)) * rng.random())
                self.broker.refuses = False

    # --- People ---

    async def _people(self) -> None:
        rng = self._dice("people")
        while self.plan.people:
            await asyncio.sleep(rng.expovariate(1 / 30))
            what = rng.choice(("retry", "retry", "hold", "release", "stop"))
            try:
                with self.database.transaction() as t:
                    id_ = rng.choice([row.id for row in t.rows(_ids(self.ending.odd))])
                    ledger.act(t, what, [id_], self.machine.rules, OPERATOR)
            except Locked as error:
                self.history.say("operator", f"{what}: {error}")
                continue
            self.history.say("operator", f"{what} {id_}")
            if what == "stop":
                self.ending.stopped.add(id_)

    async def _resumes(self) -> None:
        rng = self._dice("resumes")
        while True:
            await asyncio.sleep(rng.uniform(60, 300))
            try:
                self.resume()
            except Locked as error:
                self.history.say("operator", f"resume: {error}")

    def resume(self) -> None:
        """Somebody put right what was wrong. A balance is found out about by itself."""
        with self.database.transaction() as t:
            where = accounts.c.paused_at.is_not(None) & (accounts.c.paused_cause != "balance")
            for row in t.rows(select(accounts.c.name).where(where).order_by(accounts.c.name)):
                ledger.resume(t, row.name, OPERATOR)
                self.history.say("operator", f"resume {row.name}")

    def release(self) -> None:
        with self.database.transaction() as t:
            held = self.ending.held(t)
            if held:
                ledger.act(t, "release", held, self.machine.rules, OPERATOR)


def _ids(but: Collection[int]) -> Select[tuple[int]]:
    return select(tasks.c.id).where(tasks.c.id.not_in(but)).order_by(tasks.c.id)
