"""One simulation: a world made from a seed, troubled for a while, then left in peace until everything has ended."""

import asyncio
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, cast

from sqlalchemy import Engine, event

from redrive.models import ledger
from redrive.models.ledger import NewTask as Added
from redrive.models.rules import rules_of
from redrive.models.settings import Settings, load
from redrive.models.sql.db import Database
from redrive.worker.providers import load as load_provider
from redrive.worker.providers.base import Account
from redrive.worker.sender import Sender
from tests.simulation.broker import Broker
from tests.simulation.checks import Checks
from tests.simulation.ending import Ending
from tests.simulation.history import History
from tests.simulation.outside import replaced
from tests.simulation.plan import SETTLE_SECONDS, Edit, Plan, dice, make_plan
from tests.simulation.process import Machine, Process
from tests.simulation.processes import SchedulerProcess, WorkerProcess
from tests.simulation.provider import Provider, Strikes
from tests.simulation.stage import Stage, Stalled
from tests.simulation.strange import StrangeThings
from tests.simulation.troubles import Troubles

PEACE_SECONDS = 6 * 3600.0
"""How long all may take to end once nothing fails any more: a lock of two hours, looks, retries and waits."""
LOOK_SECONDS = 20.0
"""How often it is looked whether all has ended."""


@dataclass(frozen=True)
class Report:
    """What a seed came to."""

    seed: int
    hours: float
    calls: int
    faults: Mapping[str, int]
    violations: tuple[str, ...]
    lines: tuple[str, ...]

    def __str__(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        bad = "".join(f"\n  VIOLATION {words}" for words in self.violations)
        return f"seed {self.seed}: {self.hours:.2f} h, {self.calls} calls, faults: {faults or 'none'}{bad}"


def simulate(seed: int, url: str) -> Report:
    """Run a seed over an empty, migrated database."""
    plan = make_plan(seed)
    stage = Stage()
    history = History(stage)
    with replaced(stage), history.listening(), tempfile.TemporaryDirectory() as directory:
        simulation = Simulation(plan, stage, history, url, Path(directory))
        try:
            stage.loop.run_until_complete(simulation.run())
        except Stalled:
            history.violation("nothing can ever happen any more")
        finally:
            simulation.close()
    return Report(
        seed, stage.elapsed / 3600, history.calls, dict(history.faults), tuple(history.violations), tuple(history.lines)
    )


@cache
def _tls() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


_COMPILED: dict[Any, Any] = {}
"""Statements compiled once for all simulations of this process."""


def _engine(database: Database) -> Engine:
    """The product's engine, without waiting for a disk: what survives a crash of the machine is not the question."""
    if database.engine.dialect.name == "sqlite":
        event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = OFF"))
    return database.engine.execution_options(compiled_cache=_COMPILED)


@dataclass
class Simulation:
    """The world of one seed."""

    plan: Plan
    stage: Stage
    history: History
    url: str
    directory: Path
    numbers: dict[str, int] = field(default_factory=lambda: {"scheduler": 0, "worker": 0})

    def __post_init__(self) -> None:
        self.database = Database(self.url, clock=self.stage.stored_now)
        self.engine = _engine(self.database)
        self.broker = Broker(self.stage, self.history, self.dice("broker"), self.plan.troubles)
        self.checks = Checks(self.stage, self.history, self.database)
        settings = self.configure(Edit())
        self.provider = Provider(
            self.stage, self.history, self.dice("provider"), self.plan.config,
            {account.name: account.strikes for account in self.plan.accounts}, self.checks.leaving,
            0.98 * SETTLE_SECONDS - self.plan.config.settle_lag_seconds if not self.plan.strange.clock_steps else 0.05,
        )  # fmt: skip
        self.machine = Machine(
            self.stage, self.history, self.dice("machine"), self.broker, self.engine, self.url, settings,
            rules_of(settings),
        )  # fmt: skip
        self.machine.weather.database_fails = self.plan.database_fails
        self.machine.weather.stalls = self.plan.stalls
        self.strange = StrangeThings(self.plan, self.machine, self.provider, self.checks, self.engine, self.configure)
        self.ending = Ending(self.plan, self.provider, self.database, self.machine, self.strange)
        self.machine.next_moment = lambda: self.ending.next_moment(self.stage.stored_now())
        self.troubles = Troubles(self.plan, self.machine, self.database, self.ending)
        self.troubled = True

    def dice(self, concern: str) -> Random:
        return dice(self.plan.seed, concern)

    def configure(self, edit: Edit) -> Settings:
        """Write the settings file, and read it."""
        path = self.directory / "redrive.toml"
        path.write_text(self.plan.toml(edit))
        settings = load(path, self.plan.environ)
        for account in settings.accounts.values():
            limits = account.limits
            self.checks.limited(limits.group, limits.calls_per_minute, limits.calls_per_hour)
        return settings

    # --- The course of it ---

    async def run(self) -> None:
        """Trouble, then peace, then judgment."""
        self._add_tasks()
        keepers = [self._keep("scheduler", n) for n in range(self.plan.schedulers)]
        keepers += [self._keep("worker", n) for n in range(self.plan.workers)]
        running = [asyncio.ensure_future(each) for each in keepers]
        troubling = [asyncio.ensure_future(each) for each in (*self.troubles.all(), *self.strange.all())]
        for _ in range(int(self.plan.fault_seconds / LOOK_SECONDS)):
            await asyncio.sleep(LOOK_SECONDS)
            self._blame(self.ending.adrift())
            if not self.ending.unfinished():
                break
        for each in troubling:
            each.cancel()
        for found in await asyncio.gather(*troubling, return_exceptions=True):
            if isinstance(found, Exception):
                self.history.violation(f"the troubles themselves failed: {found!r}")
        self._make_peace()
        await self.strange.end()
        await self._till_all_ended()
        for each in running:
            each.cancel()
        self._blame(self.ending.adrift())
        self._blame(self.ending.wrong())

    def _blame(self, found: Iterable[str]) -> None:
        for words in found:
            self.history.violation(words)

    def _add_tasks(self) -> None:
        self.strange.prepare()
        with self.database.transaction() as t:
            ledger.ensure(t, {name: rules.provider for name, rules in self.machine.rules.items()})
            new = [
                Added(account=task.account, kind=task.kind, external_id=task.external_id, sub_id=task.sub_id,
                      origin=task.origin, max_retries=task.max_retries)
                for task in self.plan.tasks
            ]  # fmt: skip
            ledger.add(t, new, self.machine.rules)

    def _make_peace(self) -> None:
        self.troubled = False
        self.history.say("peace", "no more faults")
        for name, strikes in self.provider.strikes.items():
            self.provider.strikes[name] = Strikes(slowest_seconds=strikes.slowest_seconds)
        self.machine.weather.database_fails = self.machine.weather.stalls = 0.0
        self.machine.weather.database_is_away = self.broker.refuses = False
        self.broker.troubles = type(self.broker.troubles)()
        for process in self.machine.processes:
            process.live_on()
        self.troubles.resume()

    async def _till_all_ended(self) -> None:
        calm = {account.name for account in self.plan.accounts if account.calm}
        waited = 0.0
        while self.ending.unfinished():
            if waited >= PEACE_SECONDS:
                for words in self.ending.unfinished():
                    self.history.violation(f"{waited:.0f} s after all faults, {words}")
                return
            await asyncio.sleep(LOOK_SECONDS)
            waited += LOOK_SECONDS
            self.troubles.release()
            # After its clock has gone back, what was due is not, until the clock has caught up.
            calm_seconds = self.plan.calm_seconds + self.strange.stepped.total_seconds()
            if calm_seconds <= waited < calm_seconds + LOOK_SECONDS:
                for words in self.ending.unfinished(calm):
                    self.history.violation(f"held up by the troubles of others: {words}")

    def close(self) -> None:
        """Unwind whatever still waits."""
        for process in self.machine.processes:
            process.dead.set()
            process._bury()
        loop = self.stage.loop
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
        self.engine.dispose()
        self.database.close()

    # --- Processes come and go ---

    async def _keep(self, what: str, number: int) -> None:
        """A supervisor: starts a process, and another one in its place when it is gone."""
        rng = self.dice(f"{what} {number}")
        while True:
            process = self._start(what, rng)
            await process.gone.wait()
            await asyncio.sleep(rng.choice((0.1, 2.0, 30.0)) * rng.random())

    def _start(self, what: str, rng: Random) -> Process:
        self.numbers[what] += 1
        name, own = f"{what}-{self.numbers[what]}", Random(rng.getrandbits(64))
        dies_in = rng.choice((None, rng.randint(1, 20), rng.randint(1, 200))) if self._kills_now else None
        self.history.say(name, "starts")
        if what == "scheduler":
            return SchedulerProcess(self.machine, name, own, dies_in=dies_in)
        process = WorkerProcess(self.machine, name, own, self._senders, dies_in=dies_in)
        process.recorded = self._recorded
        process.worked = self.checks.worked
        return process

    def _recorded(self, call: asyncio.Task[Any]) -> None:
        """The transaction with this answer is committed."""
        self.checks.recorded(self.provider.told.pop(call, []))
        for words in self.ending.misjudged():
            self.history.violation(words)

    @property
    def _kills_now(self) -> bool:
        return self.troubled and self.plan.kills

    def _senders(self, process: WorkerProcess) -> dict[str, Sender]:
        return {name: self._sender(process, name) for name in process.rules}

    def _sender(self, process: WorkerProcess, name: str) -> Sender:
        configured = process.settings.accounts[name]
        options = configured.resolve(self.plan.environ)
        sender = Sender(
            provider=load_provider(configured.provider)(Account(name, configured.base_url, options)),
            rules=process.rules[name],
            base_url=configured.base_url,
            concurrency=configured.limits.concurrency,
            secrets=[],
            verify=_tls(),
            database=process.database,
        )
        sender._client._transport = cast("Any", self.provider.transport(process, name))
        return sender
