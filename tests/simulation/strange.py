"""Strange things, of which each may harm only itself: rows, locks, tasks at the provider, clocks and settings."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from typing import Any

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from redrive.models.settings import Settings
from redrive.sandbox.behavior import Script
from redrive.sandbox.script import make_id, rule_ids
from redrive.sandbox.strange import delete
from redrive.sandbox.task import SandboxTask as AtProvider
from tests.simulation.checks import Checks
from tests.simulation.history import History
from tests.simulation.plan import Account, Edit, NewTask, Plan, dice
from tests.simulation.process import Machine
from tests.simulation.provider import Provider
from tests.support.oddities import drop_rules, insert_odd, odd_values

HELD_SECONDS = 60.0
"""How long a host leaves its transaction open."""
APART_SECONDS = 300.0
"""Between two steps of the database's clock: longer than anything settles."""
FIRST_ODD_SERIAL = 500

KINDS = (
    "odd row", "host's transaction left open", "task deleted at its provider", "task in strange words",
    "database's clock put forward", "database's clock put back", "calendar put forward", "calendar put back",
    "settings changed", "account removed", "account renamed",
)  # fmt: skip


@dataclass
class StrangeThings:
    """Each is a coroutine that goes on until it is canceled.

    Attributes:
        odd: ids of the odd rows.
        stepped: how far the database's clock was put forward and back, all in all.
    """

    plan: Plan
    machine: Machine
    provider: Provider
    checks: Checks
    engine: Engine
    configure: Callable[[Edit], Settings]
    odd: set[int] = field(default_factory=set)
    stepped: timedelta = timedelta()
    edit: Edit = field(default_factory=Edit)

    @property
    def history(self) -> History:
        return self.machine.history

    def all(self) -> Iterator[Coroutine[Any, Any, None]]:
        strange = self.plan.strange
        yield self._again(strange.odd_rows, "odd rows", self._odd_row)
        yield self._again(strange.host_locks, "host", self._host_lock)
        yield self._again(strange.deletions, "deletions", self._delete)
        yield self._again(strange.unreadable, "unreadable", self._unreadable)
        yield self._again(strange.clock_steps, "clock", self._step_clock)
        yield self._again(strange.calendar_steps, "calendar", self._step_calendar)
        yield self._again(strange.settings, "settings", self._change_settings)

    async def _again(self, per_hour: float, concern: str, what: Callable[[Random], Coroutine[Any, Any, None]]) -> None:
        rng = dice(self.plan.seed, concern)
        while per_hour:
            await asyncio.sleep(rng.expovariate(per_hour / 3600))
            await what(rng)

    # --- Rows and locks ---

    def prepare(self) -> None:
        """The rows that are odd are from before there were rules against them."""
        with self.engine.begin() as connection:
            drop_rules(connection)

    async def _odd_row(self, rng: Random) -> None:
        account = rng.choice(self.plan.accounts)
        external_id = make_id(account.provider, FIRST_ODD_SERIAL + len(self.odd), Script())
        values = rng.choice(odd_values(self.engine.dialect.name))
        due = self.machine.stage.stored_now().strftime("%Y-%m-%d %H:%M:%S.%f")
        row = {"account": account.name, "kind": _kind(account), "external_id": external_id, "due_at": due} | values
        with self.engine.begin() as connection:
            self.odd.add(insert_odd(connection, row))
        self.history.fault("host", "odd row", f"{account.name} {values!r:.60}")

    async def _host_lock(self, rng: Random) -> None:
        names = [account.name for account in self.plan.accounts if not account.calm]
        if not names:
            return None
        name = rng.choice(names)
        self.history.fault("host", "host's transaction left open", name)
        if self.engine.dialect.name == "sqlite":
            self.machine.weather.host_writes_until = self.machine.stage.seconds + HELD_SECONDS
            return await asyncio.sleep(HELD_SECONDS)
        return await self._hold(name, whole_account=rng.random() < 0.5)

    async def _hold(self, name: str, *, whole_account: bool) -> None:
        engine = create_engine(self.engine.url)
        try:
            with engine.connect() as connection:
                connection.execute(text("UPDATE redrive_tasks SET priority = 1 WHERE account = :name"), {"name": name})
                if whole_account:
                    connection.execute(text("SELECT 1 FROM redrive_accounts WHERE name = :name FOR UPDATE"),
                                       {"name": name})  # fmt: skip
                await asyncio.sleep(HELD_SECONDS)
        except DBAPIError as error:
            self.history.violation(f"the host's own transaction failed: {error}")
        finally:
            engine.dispose()

    # --- At the provider ---

    async def _delete(self, rng: Random) -> None:
        new, there = self._one_at_provider(rng)
        if new is None or not there:
            return
        for task in there:
            delete(task)
        self.history.fault("provider", "task deleted at its provider", new.external_id)

    async def _unreadable(self, rng: Random) -> None:
        """For a while, or for good."""
        new, there = self._one_at_provider(rng)
        if new is None or not there:
            return
        self.provider.unreadable.add(new.external_id)
        self.provider.ever_unreadable.add(new.external_id)
        self.history.fault("provider", "task in strange words", new.external_id)
        if rng.random() < 0.5:
            await asyncio.sleep(rng.uniform(30, 600))
            self.provider.unreadable.discard(new.external_id)
            self.history.say("provider", f"{new.external_id} is readable again")

    def _one_at_provider(self, rng: Random) -> tuple[NewTask | None, list[AtProvider]]:
        """A task of the plan that no script refuses, and what the provider keeps of it: a review has its rules."""
        accounts = {account.name: account for account in self.plan.accounts if not account.calm}
        able = [new for new in self.plan.tasks if new.account in accounts and new.script.refusal is None]
        if not able:
            return None, []
        new = rng.choice(able)
        wanted = {new.external_id, *rule_ids(new.external_id)}
        provider = accounts[new.account].provider
        known = (tasks for (name, _), tasks in sorted(self.provider.sandbox.world.tasks.items()) if name == provider)
        return new, [task for tasks in known for id_, task in sorted(tasks.items()) if id_ in wanted]

    # --- Clocks ---

    async def _step_clock(self, rng: Random) -> None:
        stage, hour = self.machine.stage, timedelta(hours=rng.choice((-1, 1)))
        stage.database_ahead += hour
        self.history.fault("clock", f"database's clock put {'forward' if hour > timedelta() else 'back'}")
        self.stepped += abs(hour)
        if hour > timedelta():
            self.checks.jumped_ahead()
        await asyncio.sleep(APART_SECONDS)

    async def _step_calendar(self, rng: Random) -> None:
        """A worker signs by it, and a provider that looks at it refuses the signature."""
        hour = timedelta(hours=rng.choice((-1, 1)))
        self.machine.stage.calendar_ahead += hour
        self.history.fault("clock", f"calendar put {'forward' if hour > timedelta() else 'back'}")
        await asyncio.sleep(rng.uniform(20, 120))
        self.machine.stage.calendar_ahead -= hour

    # --- Settings ---

    async def _change_settings(self, rng: Random) -> None:
        """Somebody edits the file; most processes are started again, one by one."""
        await self.write(self._edited(rng), rng, all_of_them=False)
        if self.edit.missing or self.edit.renamed:
            await asyncio.sleep(rng.uniform(30, 300))
            await self.write(replace(self.edit, missing=(), renamed=()), rng, all_of_them=False)

    def _edited(self, rng: Random) -> Edit:
        named = [account.name for account in self.plan.accounts if not account.calm]
        policy = dict(self.edit.policy)
        match rng.choice(("retry_canceled", "max_retries", "on_unknown", "archive", "apart", "removed", "renamed")):
            case "retry_canceled":
                policy["retry_canceled"] = not policy.get("retry_canceled", True)
            case "max_retries":
                policy["max_retries"] = rng.randint(1, 5)
            case "on_unknown":
                policy["on_unknown"] = rng.choice(("hold", "retry"))
            case "archive":
                return replace(self.edit, archive=not self.edit.archive)
            case "apart" if named:
                return replace(self.edit, apart=tuple(sorted({*self.edit.apart} ^ {rng.choice(named)})))
            case what if len(self.plan.accounts) > 1 and named:
                self.history.faults[f"account {what}"] += 1
                alone = (rng.choice(named),)
                return replace(self.edit, renamed=alone) if what == "renamed" else replace(self.edit, missing=alone)
            case _:
                policy["retry_canceled"] = not policy.get("retry_canceled", True)
        return replace(self.edit, policy=policy)

    async def write(self, edit: Edit, rng: Random, *, all_of_them: bool) -> None:
        """Write the file and start processes again."""
        self.edit = edit
        self.machine.configured(self.configure(edit))
        self.history.fault("operator", "settings changed", f"{edit}")
        for process in self.machine.processes:
            if all_of_them or rng.random() < 0.8:
                await asyncio.sleep(0 if all_of_them else rng.uniform(0, 5))
                process.end()

    async def end(self) -> None:
        """Clocks go on from where they are; the file is whole again, and every process reads it."""
        self.machine.weather.host_writes_until = 0.0
        self.machine.stage.calendar_ahead = timedelta()
        if self.plan.strange.settings:
            whole = replace(self.edit, missing=(), renamed=())
            await self.write(whole, Random(0), all_of_them=True)


def _kind(account: Account) -> str:
    return {"geelark": "", "huawei_workspace": "task", "docflow": "review_task"}[account.provider]
