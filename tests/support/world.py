"""A small world over one database: accounts with rules, a clock that is moved by hand, and the ledger in few words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, event, select, update

from redrive.models import ledger
from redrive.models.capabilities import Capabilities
from redrive.models.ledger import ActionResult, Batch, CallResult, Claim, Group, NewTask, Step, WantedStep, Who, Work
from redrive.models.ledger.totals import totals_now
from redrive.models.outcome import Accepted, CheckResult, Outcome
from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.models.rules import Rules
from redrive.models.settings.policy import Policy
from redrive.models.sql.db import Database, Transaction
from redrive.models.sql.tables import accounts, attempts, batches, columns, limits, tasks
from redrive.models.states import Operation, Status
from redrive.models.task import Task

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ME = Who("tests", "to see what happens")

STEADY = {"jitter": "none", "base_seconds": 30.0, "max_retries": 3}
"""A policy without dice, so that a test can say when."""


@dataclass
class Clock:
    """The database's moment, moved by hand."""

    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> datetime:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)
        return self.now


def make_rules(
    account: str, capabilities: Capabilities, *, policy: Mapping[str, Any] | None = None, **more: Any
) -> Rules:
    """Rules of an account: a steady policy and a rate that is in nobody's way, unless said otherwise."""
    values: dict[str, Any] = {"group": account, "interval_seconds": 0.001} | more
    return Rules(
        account=account, capabilities=capabilities, policy=Policy.model_validate(STEADY | dict(policy or {})), **values
    )


def usual_accounts() -> dict[str, Rules]:
    """One account of each provider, and one of a provider that cannot be asked."""
    blind = replace(HUAWEI_WORKSPACE, provider="blind", check_ids=0)
    return {
        name: make_rules(name, capabilities)
        for name, capabilities in (
            ("phones", GEELARK),
            ("desktops", HUAWEI_WORKSPACE),
            ("reviews", DOCFLOW),
            ("blind", blind),
        )
    }


@dataclass
class World:
    """A migrated database, its clock and the accounts in it."""

    url: str
    clock: Clock = field(default_factory=Clock)
    rules: dict[str, Rules] = field(default_factory=usual_accounts)
    rng: Random = field(default_factory=lambda: Random(1))

    def __post_init__(self) -> None:
        self.database = Database(self.url, clock=self.clock)
        self.ensure()

    def ensure(self) -> None:
        with self.begin() as t:
            ledger.ensure(t, {name: rules.provider for name, rules in self.rules.items()})

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def begin(self) -> Iterator[Transaction]:
        """A writing transaction."""
        with self.database.transaction() as t:
            yield t

    def ruled(self, account: str, *, policy: Mapping[str, Any] | None = None, **more: Any) -> Rules:
        """Change an account's rules."""
        old = self.rules[account]
        merged = old.policy.model_dump() | dict(policy or {})
        self.rules[account] = replace(old, policy=Policy.model_validate(merged), **more)
        return self.rules[account]

    # --- what the scheduler and the worker do ---

    def add(self, external_id: str = "1", account: str = "phones", **more: Any) -> int:
        return self.add_many([external_id], account, **more)[0]

    def add_many(self, external_ids: Iterable[str], account: str = "phones", **more: Any) -> list[int]:
        kind = self.rules[account].capabilities.default_kind(more.get("sub_id", "")).name
        new = [NewTask(**({"account": account, "kind": kind, "external_id": each} | more)) for each in external_ids]
        with self.begin() as t:
            return [added.id for added in ledger.add(t, new, self.rules)]

    def claim(self, account: str = "phones", operation: Operation = Operation.RETRY) -> Claim:
        with self.begin() as t:
            return ledger.claim(t, self.rules[account], operation, self.rng)

    def claimed(self, account: str = "phones", operation: Operation = Operation.RETRY) -> Batch:
        batch = self.claim(account, operation).batch
        assert batch is not None, f"nothing of {account} was claimed"
        return batch

    def begun(self, account: str = "phones", operation: Operation = Operation.RETRY) -> Work:
        """A batch, claimed and begun."""
        work = self.begin_batch(self.claimed(account, operation).id)
        assert work is not None
        return work

    def begin_batch(self, batch_id: UUID) -> Work | None:
        """As a worker does: with others where it can be, and else alone."""
        with self.begin() as t:
            work = ledger.begin_together(t, {batch_id: "tests"}, self.rules).get(batch_id)
        if work is not None:
            return work
        with self.begin() as t:
            return ledger.begin(t, batch_id, self.rules, "tests")

    def groups(self, work: Work, ids: Sequence[int] | None = None) -> list[Group]:
        """The calls a worker would make: as many ids per call as the provider takes."""
        capabilities = work.rules.capabilities
        per_call, by_path = capabilities.ids_per_call(work.operation), dict[str, list[int]]()
        for task in work.tasks:
            kind = capabilities.kind(task.kind)
            assert kind is not None
            if ids is None or task.id in ids:
                path = kind.retry_path if work.operation is Operation.RETRY else kind.check_path
                by_path.setdefault(path, []).append(task.id)
        return [
            Group(path, tuple(mine[i : i + per_call]))
            for path, mine in by_path.items()
            for i in range(0, len(mine), per_call)
        ]

    def advance(
        self, work: Work, told: Sequence[CallResult] = (), groups: Sequence[Group] = (), *, calm: bool = True
    ) -> Step:
        if calm and (step := self.together(WantedStep(work, told, groups))) is not None:
            return step
        with self.begin() as t:
            return ledger.advance_retries(t, work, told, groups, self.rng, calm=calm)

    def advance_checks(
        self, work: Work, told: Sequence[CallResult], groups: Sequence[Group], asked: Mapping[int, int]
    ) -> Step:
        if (step := self.together(WantedStep(work, told, groups, asked))) is not None:
            return step
        with self.begin() as t:
            return ledger.advance_checks(t, work, told, groups, asked, self.rng, calm=True)

    def together(self, wanted: WantedStep) -> Step | None:
        """The step as one of a group, where it may be. Alone it needs a transaction that holds no locks yet."""
        if not wanted.is_plain:
            return None
        with self.begin() as t:
            return ledger.advance_together(t, [wanted], self.rng).get(wanted.work.id)

    def open(self, work: Work, ids: Sequence[int] | None = None) -> Step:
        """Open the attempts of the batch, or of some of its tasks."""
        return self.advance(work, groups=self.groups(work, ids))

    def opened(self, account: str = "phones") -> Work:
        """A batch whose attempts are all open."""
        work = self.begun(account)
        assert {task.id for permit in self.open(work).permits for task in permit.tasks} == {x.id for x in work.tasks}
        return work

    def told(
        self,
        work: Work,
        answers: Mapping[int, Outcome | CheckResult] | Outcome | CheckResult,
        *,
        asked_at: datetime | None = None,
        path: str = "",
    ) -> CallResult:
        """An answer to one call; a single one stands for every task of the batch."""
        if not isinstance(answers, Mapping):
            answers = {task.id: answers for task in work.tasks}
        path = path or self.groups(work)[0].path
        return CallResult(path, asked_at or self.clock.now, answers)

    def answer(self, work: Work, answers: Mapping[int, Outcome] | Outcome, **more: Any) -> Step:
        return self.advance(work, [self.told(work, answers, **more)])

    def finish(self, work: Work) -> None:
        with self.begin() as t:
            ledger.finish(t, work, {})

    def retried(self, outcome: Outcome, account: str = "phones") -> Work:
        """A whole batch: claimed, begun, opened, answered, finished."""
        work = self.opened(account)
        self.answer(work, outcome)
        self.finish(work)
        return work

    def accepted(self, external_id: str = "1", account: str = "phones", **more: Any) -> int:
        """A task whose retry was just accepted."""
        task_id = self.add(external_id, account, **more)
        self.retried(Accepted(), account)
        return task_id

    def look(
        self,
        work: Work,
        results: Mapping[int, CheckResult] | CheckResult,
        *,
        asked: Mapping[int, int] | None = None,
        **more: Any,
    ) -> Step:
        """Apply looks of a check batch."""
        numbers = {task.id: task.attempts for task in work.tasks} if asked is None else asked
        return self.advance_checks(work, [self.told(work, results, **more)], [], numbers)

    def looked(self, look: CheckResult, account: str = "phones") -> Work:
        """A whole check batch about what is due now."""
        work = self.begun(account, Operation.CHECK)
        self.look(work, look)
        self.finish(work)
        return work

    def rescue(self, batch_id: UUID, account: str = "phones") -> int:
        with self.begin() as t:
            return ledger.rescue(t, batch_id, self.rules[account], self.rng).tasks

    # --- what people do ---

    def act(self, what: str, *ids: int) -> list[ActionResult]:
        with self.begin() as t:
            return ledger.act(t, what, ids, self.rules, ME)

    def report(self, task_id: int, status: Status, *, at: datetime | None = None, reason: str = "") -> ActionResult:
        with self.begin() as t:
            return ledger.report(t, [task_id], self.rules, status, at=at, reason=reason)[0]

    def pause(self, account: str = "phones") -> None:
        with self.begin() as t:
            ledger.pause(t, account, ME)

    def resume(self, account: str = "phones") -> None:
        with self.begin() as t:
            ledger.resume(t, account, ME)

    # --- what the rows say ---

    def task(self, task_id: int) -> Task:
        with self.database.reading() as t:
            return Task.of(t.rows(select(*columns(tasks, t.level)).where(tasks.c.id == task_id))[0])

    def tasks(self) -> dict[int, Task]:
        with self.database.reading() as t:
            return {row.id: Task.of(row) for row in t.rows(select(*columns(tasks, t.level)).order_by(tasks.c.id))}

    def attempts(self, task_id: int) -> list[dict[str, Any]]:
        with self.database.reading() as t:
            return t.mappings(
                select(*columns(attempts, t.level)).where(attempts.c.task_id == task_id).order_by(attempts.c.number)
            )

    def batch(self, batch_id: UUID) -> dict[str, Any]:
        with self.database.reading() as t:
            return t.mappings(select(batches).where(batches.c.id == batch_id))[0]

    def account(self, name: str = "phones") -> dict[str, Any]:
        with self.database.reading() as t:
            return t.mappings(select(accounts).where(accounts.c.name == name))[0]

    def limit(self, path: str, group: str = "phones") -> dict[str, Any]:
        with self.database.reading() as t:
            return t.mappings(select(limits).where(limits.c.group == group, limits.c.path == path))[0]

    def totals(self, account: str = "phones") -> dict[str, int]:
        with self.database.reading() as t:
            return {row.name: row.value for row in totals_now(t) if row.account == account}

    def put(self, task_id: int, **values: Any) -> None:
        """Write columns of a task directly: to arrange what would take long to come about."""
        with self.begin() as t:
            t.execute(update(tasks).where(tasks.c.id == task_id).values(**values))

    @contextmanager
    def statements(self) -> Iterator[list[str]]:
        """The statements that were run meanwhile."""
        seen: list[str] = []

        def note(_c: Connection, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        event.listen(self.database.engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(self.database.engine, "before_cursor_execute", note)
