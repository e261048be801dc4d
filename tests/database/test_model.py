"""The ledger against a model of it, through whatever Hypothesis can think of."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select

from models import ledger
from models.capabilities import DOCFLOW, GEELARK
from models.errors import StaleBatch
from models.ledger import Answered, Work
from models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    Deferred,
    Look,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unsent,
)
from models.rules import BreakerRules, Rules
from models.states import DeadReason, Operation, Status
from models.tables import attempts, batches, metadata, tasks

from .model import BASE, LONGEST, MAX_ERRORS, WAITING, Batch, Model, Spec, Task
from .world import Clock, World, make_rules, usual_accounts

THOROUGH = bool(os.environ.get("REDRIVE_TEST_THOROUGH"))
"""``REDRIVE_TEST_THOROUGH=1``: most of an hour for each database instead of half a minute."""

SPECS = (
    Spec("phones", cap=5, rest_canceled=True, retries_by_itself="client_ui"),
    Spec("reviews", whole_and_part=True),
    Spec("blind", can_check=False),
)
NAMES = tuple(spec.name for spec in SPECS)
TASKS = (
    ("phones", "p1", "", ""),
    ("phones", "p2", "", "client_ui"),
    ("phones", "p3", "", ""),
    ("reviews", "1", "", ""),
    ("reviews", "1", "11", ""),
    ("reviews", "1", "12", ""),
    ("blind", "b1", "", ""),
)
OUTCOMES: dict[str, Callable[[float], Outcome]] = {
    "accepted": lambda _: Accepted(ref="run"),
    "already": lambda _: Already(code="48001"),
    "refused": lambda _: Refused(reason=DeadReason.NOT_FOUND),
    "deferred": lambda _: Deferred(message="refused"),
    "throttled": lambda wait: Throttled(wait_seconds=wait),
    "blocked": lambda _: Blocked(cause=Cause.CREDENTIALS, code="40003"),
    "unknown": lambda _: Unknown(message="timeout"),
    "unsent": lambda _: Unsent(),
}
NO_READING: dict[str, Callable[[float], Look]] = {
    "unreadable": lambda _: Unknown(message="broken JSON"),
    "throttled": lambda wait: Throttled(wait_seconds=wait),
    "blocked": lambda _: Blocked(cause=Cause.CREDENTIALS),
    "unsent": lambda _: Unsent(),
}
PEOPLE = ("hold", "release", "stop", "retry", "force", "revive")

numbers = st.integers(0, 99)
waits = st.sampled_from([0.5, 20.0, 300.0])
marks = st.sampled_from(["", "a", "b"])
# What moves work along comes more often than what ends it.
outcomes = st.sampled_from([*OUTCOMES, "accepted", "accepted", "unknown"])
looks = st.sampled_from([*State, State.FAILED, State.FAILED, State.RUNNING, *NO_READING])
jumps = st.sampled_from([1, 5, 29, 31, 61, 61, 121, 121, 3601, 90_000, 700_000])


def model_accounts() -> dict[str, Rules]:
    """The accounts of the model. The breaker, the pace and the dice have tests of their own and are out of the way."""
    calm = BreakerRules(failures=10**6, max_refusals=10**6)
    policy = {"max_errors": MAX_ERRORS, "base_seconds": BASE, "max_seconds": LONGEST, "max_retries": 3}
    blind = usual_accounts()["blind"].capabilities
    return {
        "phones": make_rules("phones", GEELARK, policy=policy | {"retry_canceled": False}, breaker=calm),
        "reviews": make_rules("reviews", DOCFLOW, policy=policy, breaker=calm),
        "blind": make_rules("blind", blind, policy=policy, breaker=calm),
    }


class Ledger(RuleBasedStateMachine):
    """Every rule does the same to the ledger and to the model; after each the two must agree."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.world.clock = self.world.database.clock = Clock()  # type: ignore[assignment]
        self.world.rules = model_accounts()
        with self.world.begin() as t:
            for table in reversed(metadata.sorted_tables):
                t.execute(delete(table))
        self.world.ensure()
        self.model = Model(SPECS, self.world.clock.now)
        self.work: dict[Any, Work] = {}
        self.told: list[tuple[Work, Answered]] = []

    # --- owners and operators ---

    @rule(n=numbers, word=st.sampled_from(["failed", "failed", "canceled", "pending", "running"]))
    def add(self, n: int, word: str) -> None:
        account, key, part, origin = TASKS[n % len(TASKS)]
        task_id = self.world.add(key, account, sub_id=part, origin=origin, status=Status(word))
        self.model.add(task_id, account, key, part, origin, word)

    @precondition(lambda self: self.model.tasks)
    @rule(n=numbers, what=st.sampled_from(PEOPLE))
    def person(self, n: int, what: str) -> None:
        task = self._task(n)
        self.world.act(what, task.id)
        getattr(self.model, what)(task)

    @precondition(lambda self: self.model.tasks)
    @rule(
        n=numbers,
        word=st.sampled_from(["pending", "running", "failed", "canceled", "succeeded"]),
        age=st.sampled_from([None, 0, 10, 1000]),
    )
    def report(self, n: int, word: str, age: int | None) -> None:
        task = self._task(n)
        at = None if age is None else self.world.clock.now - timedelta(seconds=age)
        self.world.report(task.id, Status(word), at=at)
        self.model.report(task, word, at)

    @rule(account=st.sampled_from(NAMES))
    def pause(self, account: str) -> None:
        self.world.pause(account)
        self.model.pause(account)

    @rule(account=st.sampled_from(NAMES))
    def resume(self, account: str) -> None:
        self.world.resume(account)
        self.model.resume(account)

    @rule(account=st.sampled_from(NAMES), most=st.integers(1, 5))
    def change_the_limit(self, account: str, most: int) -> None:
        self.world.ruled(account, policy={"max_retries": most})
        self.model.own[account] = most

    @rule(seconds=jumps)
    def time_passes(self, seconds: int) -> None:
        self.model.now = self.world.clock.forward(seconds)

    # --- the scheduler ---

    @rule(account=st.sampled_from(NAMES), operation=st.sampled_from(Operation))
    def claim(self, account: str, operation: Operation) -> None:
        self._claim(account, operation)

    def _claim(self, account: str, operation: Operation) -> Batch | None:
        batch = self.world.claim(account, operation).batch
        expected = self.model.claim(account, operation.value)
        found = self.world.batch(batch.id)["task_ids"] if batch is not None else []
        assert sorted(found) == expected
        if batch is None:
            return None
        self.model.claimed(batch.id, account, operation.value, expected)
        return self.model.batches[batch.id]

    @rule()
    def rescue(self) -> None:
        with self.world.begin() as t:
            lost = ledger.expired(t)
        assert {each.id for each in lost} == self.model.expired()
        for each in lost:
            self.world.rescue(each.id, each.account)
            assert self.world.rescue(each.id, each.account) == 0
            self.model.rescue(self.model.batches[each.id])

    # --- the worker: each step may be the last one it makes ---

    @precondition(lambda self: self.model.batches)
    @rule(n=numbers)
    def begin(self, n: int) -> None:
        self._begin(self._batch(n))

    def _begin(self, batch: Batch) -> None:
        work = self.world.begin_batch(batch.id)  # type: ignore[arg-type]
        assert (work is not None) == self.model.begin(batch)
        if work is not None:
            self.work[batch.id] = work
            still = [i for i in batch.ids if batch.operation == "check" or self.model.tasks[i].batch == batch.id]
            assert [task.id for task in work.tasks] == still

    @precondition(lambda self: self._sending("retry"))
    @rule(n=numbers, some=st.integers(1, 7))
    def open_attempts(self, n: int, some: int) -> None:
        batch = self._pick("retry", n)
        self._open(batch, [i for at, i in enumerate(batch.ids) if some & (1 << at % 3)])

    def _open(self, batch: Batch, ids: list[int]) -> None:
        step = self.world.open(self.work[batch.id], ids)
        found = {task.id for permit in step.permits for task in permit.tasks}
        assert found == self.model.open(batch, [task.id for task in self.work[batch.id].tasks if task.id in ids])

    @precondition(lambda self: self._open_ones())
    @rule(n=numbers, outcome=outcomes, wait=waits)
    def answer(self, n: int, outcome: str, wait: float) -> None:
        open_ones = self._open_ones()
        self._answer(open_ones[n % len(open_ones)], outcome, wait)

    def _answer(self, task: Task, outcome: str, wait: float) -> None:
        batch, opened = self.model.batches[task.open], task.opened
        work = self.work[batch.id]
        path = self._path(task, Operation.RETRY)
        assert opened is not None
        told = Answered(path, opened, {task.id: OUTCOMES[outcome](wait)})
        self.world.advance(work, [told])
        self.told.append((work, told))
        self.model.answer(batch, task, outcome, wait)

    @precondition(lambda self: self.told)
    @rule(n=numbers)
    def say_it_again(self, n: int) -> None:
        """A record repeated, or late: what is closed stays as it is."""
        work, told = self.told[n % len(self.told)]
        if self.model.batches[work.id].status == "sending":
            self.world.advance(work, [told])
        else:
            with pytest.raises(StaleBatch):
                self.world.advance(work, [told])

    @precondition(lambda self: self.work)
    @rule(n=numbers)
    def finish(self, n: int) -> None:
        work = list(self.work.values())[n % len(self.work)]
        batch = self.model.batches[work.id]
        if batch.status == "sending":
            self.world.finish(work)
            self.model.finish(batch)
        else:
            with pytest.raises(StaleBatch):
                self.world.finish(work)

    @precondition(lambda self: self._sending("check"))
    @rule(n=numbers)
    def ask(self, n: int) -> None:
        self._ask(self._pick("check", n))

    def _ask(self, batch: Batch) -> None:
        work = self.work[batch.id]
        with self.world.begin() as t:
            step = ledger.advance_checks(t, work, [], self.world.groups(work), {}, self.world.rng)
        asked = {task.id: task.attempts for permit in step.permits for task in permit.tasks}
        assert set(asked) == self.model.ask(batch)
        assert asked == {i: self.model.tasks[i].number for i in asked}

    @precondition(lambda self: self._asked())
    @rule(n=numbers, look=looks, mark=marks, wait=waits)
    def look(self, n: int, look: State | str, mark: str, wait: float) -> None:
        asked = self._asked()
        self._look(*asked[n % len(asked)], look, mark, wait)

    def _look(self, batch: Batch, task: Task, look: State | str, mark: str, wait: float) -> None:
        asked_at, number = batch.asked[task.id]
        found = Reading(state=State(look), mark=mark) if isinstance(look, State) else NO_READING[look](wait)
        told = Answered(self._path(task, Operation.CHECK), asked_at, {task.id: found})
        if batch.status != "sending":
            with pytest.raises(StaleBatch), self.world.begin() as t:
                ledger.advance_checks(t, self.work[batch.id], [told], [], {task.id: number}, self.world.rng)
            del batch.asked[task.id]
            return
        with self.world.begin() as t:
            ledger.advance_checks(t, self.work[batch.id], [told], [], {task.id: number}, self.world.rng)
        self.model.look(batch, task, look, mark, wait)

    # --- the usual course, so that deep states are reached often ---

    @rule(account=st.sampled_from(NAMES), outcome=outcomes, wait=waits, end=st.booleans())
    def whole_retry(self, account: str, outcome: str, wait: float, end: bool) -> None:  # noqa: FBT001 - drawn
        batch = self._claim(account, Operation.RETRY)
        if batch is None:
            return
        self._begin(batch)
        self._open(batch, batch.ids)
        for task in [task for task in self._open_ones() if task.open == batch.id]:
            self._answer(task, outcome, wait)
        if end:
            self.world.finish(self.work[batch.id])
            self.model.finish(batch)

    @rule(account=st.sampled_from(NAMES), look=looks, mark=marks, wait=waits)
    def whole_check(self, account: str, look: State | str, mark: str, wait: float) -> None:
        batch = self._claim(account, Operation.CHECK)
        if batch is None:
            return
        self._begin(batch)
        self._ask(batch)
        for task_id in list(batch.asked):
            self._look(batch, self.model.tasks[task_id], look, mark, wait)
        self.world.finish(self.work[batch.id])
        self.model.finish(batch)

    # --- what must hold ---

    @invariant()
    def agree(self) -> None:
        self._ledger_and_model_agree()
        self._rows_are_possible()

    def _ledger_and_model_agree(self) -> None:
        rows = self.world.tasks()
        assert set(rows) == set(self.model.tasks)
        for task_id, row in rows.items():
            task = self.model.tasks[task_id]
            found = (row.status, row.dead_reason, row.spent, row.attempts, row.wish, row.held_from, row.granted)
            assert found == (
                task.status, task.reason, task.spent, task.number, task.wish, task.back, task.granted,
            )  # fmt: skip
            found = (row.batch_id, row.errors, row.refusals, row.status_since)
            assert found == (task.batch, task.errors, task.refusals, task.since)
            if task.due is None:
                assert row.due_at is None or task.status in ("pending", "running")
            else:
                assert row.next == task.next
                assert row.due_at is not None
                assert task.due[0] <= row.due_at <= task.due[1]
                task.due = row.due_at, row.due_at  # where the rules leave room, the ledger chose
        for name, paused in self.model.paused.items():
            assert (self.world.account(name)["paused_at"] is not None) == paused

    def _rows_are_possible(self) -> None:
        """What must hold whatever the model says."""
        with self.world.database.reading() as t:
            rows = t.mappings(select(attempts))
            states = {row["id"]: row for row in t.mappings(select(batches))}
            counts = {
                (row.account, row.status, row.dead_reason): row.n
                for row in t.rows(
                    select(tasks.c.account, tasks.c.status, tasks.c.dead_reason, func.count().label("n")).group_by(
                        tasks.c.account, tasks.c.status, tasks.c.dead_reason
                    )
                )
            }
        found = self.world.tasks()
        for task in found.values():
            mine = [row for row in rows if row["task_id"] == task.id]
            self._one_task(task, mine, states)
        for batch_id, row in states.items():
            assert row["status"] == self.model.batches[batch_id].status
        for name in NAMES:
            self._totals(name, [row for row in rows if found[row["task_id"]].account == name], counts)

    def _one_task(self, task: Any, mine: list[dict[str, Any]], states: dict[Any, dict[str, Any]]) -> None:
        assert [row["number"] for row in sorted(mine, key=lambda row: row["number"])] == [*range(1, task.attempts + 1)]
        open_ones = [row for row in mine if row["closed_at"] is None]
        assert len(open_ones) <= 1
        assert all(states[row["batch_id"]]["status"] == "sending" for row in open_ones)
        assert task.spent == sum(row["spent"] for row in mine)
        assert task.spent + len(open_ones) <= 5 or task.account != "phones"
        if task.status is Status.IN_FLIGHT:
            assert states[task.batch_id]["status"] in ("queued", "sending")
        # Nothing is lost: somebody looks, or a person said no, or it rests.
        resting = task.status is Status.CANCELED and task.account == "phones"
        if task.status.value in WAITING and not resting:
            assert task.due_at is not None

    def _totals(self, account: str, rows: list[dict[str, Any]], counts: dict[Any, int]) -> None:
        totals = self.world.totals(account)
        closed = [row for row in rows if row["closed_at"] is not None]
        assert totals.get("attempts", 0) == len(closed)
        assert totals.get("spent", 0) == sum(row["spent"] for row in closed)
        for outcome in OUTCOMES:
            assert totals.get(f"outcome:{outcome}", 0) == sum(row["outcome"] == outcome for row in closed)
        assert totals.get("succeeded", 0) == counts.get((account, "succeeded", None), 0)
        for reason in DeadReason:
            assert totals.get(f"dead:{reason}", 0) == counts.get((account, "dead", reason), 0)

    # --- choosing ---

    def _task(self, n: int) -> Task:
        return list(self.model.tasks.values())[n % len(self.model.tasks)]

    def _batch(self, n: int) -> Batch:
        return list(self.model.batches.values())[-1 - n % len(self.model.batches)]

    def _sending(self, operation: str) -> list[Batch]:
        return [b for b in self.model.batches.values() if b.status == "sending" and b.operation == operation]

    def _pick(self, operation: str, n: int) -> Batch:
        found = self._sending(operation)
        return found[n % len(found)]

    def _open_ones(self) -> list[Task]:
        return [
            task
            for task in self.model.tasks.values()
            if task.open and self.model.batches[task.open].status == "sending"
        ]

    def _asked(self) -> list[tuple[Batch, Task]]:
        return [(b, self.model.tasks[i]) for b in self.model.batches.values() for i in b.asked]

    def _path(self, task: Task, operation: Operation) -> str:
        kind = self.world.rules[task.account].capabilities.default_kind(task.part)
        return kind.retry_path if operation is Operation.RETRY else kind.check_path


# No timeout: a failure is shrunk first, which may take Hypothesis five minutes.
@pytest.mark.timeout(0)
def test_ledger_and_model_agree_on_every_history(world: World) -> None:
    """Whatever happens in whatever order, the ledger does what the rules say and loses nothing."""
    machine = type("Machine", (Ledger,), {"world": world})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=3000 if THOROUGH else 60,
            stateful_step_count=100 if THOROUGH else 40,
            deadline=None,
            print_blob=True,
            database=None,  # whoever runs it gets the blob; nobody else has this machine's failures
            suppress_health_check=list(HealthCheck),
        ),
    )
