"""The ledger against a model of it, through whatever Hypothesis can think of."""

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete, func, select

from redrive.models import ledger
from redrive.models.errors import StaleBatch
from redrive.models.ledger import CallResult, Work, standstills
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Deferred,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.providers import DOCFLOW, GEELARK
from redrive.models.rules import BreakerRules, Rules
from redrive.models.sql.tables import attempts, batches, metadata, tasks
from redrive.models.states import DeadReason, Operation, Status
from tests.database.model import BASE, LONGEST, MAX_ERRORS, WAITING, Batch, Model, Spec, Task
from tests.support.world import Clock, World, make_rules, usual_accounts

T = TypeVar("T")

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
    "no_call": lambda _: Deferred(message="no call for it", of_task=True),
    "throttled": lambda wait: Throttled(wait_seconds=wait),
    "blocked": lambda _: Blocked(cause=Cause.CREDENTIALS, code="40003"),
    "unknown": lambda _: Unknown(message="timeout"),
    "unsent": lambda _: Unsent(),
}
NO_READING: dict[str, Callable[[float], CheckResult]] = {
    "unanswered": lambda _: Unknown(message="broken JSON"),
    "unreadable": lambda _: Unreadable(message="a word nobody knows"),
    "deferred": lambda _: Deferred(message="refused"),
    "throttled": lambda wait: Throttled(wait_seconds=wait),
    "blocked": lambda _: Blocked(cause=Cause.CREDENTIALS),
    "unsent": lambda _: Unsent(),
}
ANY = range(100)
"""Which one of what there is: taken modulo their number, so that a history stays possible when steps are left out."""
ACCOUNTS = (*NAMES, "phones")
WAITS = (0.5, 20.0, 300.0)
MARKS = ("", "a", "b")
# What moves work along comes more often than what ends it.
ANSWERS = (*OUTCOMES, "accepted", "accepted", "accepted", "unknown")
CHECK_RESULTS = (*State, State.FAILED, State.FAILED, State.RUNNING, *NO_READING)
WORDS = ("failed", "failed", "canceled", "pending", "running")

STEPS: dict[str, tuple[int, dict[str, Sequence[Any]]]] = {
    "add": (2, {"n": ANY, "word": WORDS}),
    "person": (2, {"n": ANY, "what": ("hold", "release", "release", "stop", "retry", "retry", "force", "revive")}),
    "report": (2, {"n": ANY, "word": (*WORDS, "succeeded"), "age": (None, 0, 10, 1000)}),
    "pause": (1, {"account": ACCOUNTS}),
    "resume": (5, {}),
    "change_the_limit": (1, {"account": ACCOUNTS, "most": (1, 2, 3, 3, 5)}),
    "time_passes": (3, {"seconds": (1, 5, 29, 31, 61, 121, 601, 3601, 3601, 90_000, 700_000)}),
    "claim": (2, {"account": ACCOUNTS, "operation": tuple(Operation)}),
    "begin": (2, {"n": ANY}),
    "published_again": (6, {"end": (True, True, False)}),
    "open_attempts": (2, {"n": ANY, "some": range(1, 8)}),
    "answer": (3, {"n": ANY, "outcome": ANSWERS, "wait": WAITS}),
    "say_it_again": (1, {"n": ANY}),
    "finish": (2, {"n": ANY}),
    "rescue": (5, {"after": (0, 119, 120, 120)}),
    "ask": (2, {"n": ANY}),
    "look": (3, {"n": ANY, "look": CHECK_RESULTS, "mark": MARKS, "wait": WAITS}),
    "course": (
        10,
        {
            "account": ACCOUNTS,
            "after": (0, 31, 61, 601),
            "outcome": ANSWERS,
            "wait": WAITS,
            "steps": (1, 2, 3, 4, 5, 5, 5, 5),
        },
    ),
    "course_of_checks": (
        8,
        {
            "account": ACCOUNTS,
            "after": (0, 31, 61, 61),
            "look": CHECK_RESULTS,
            "mark": MARKS,
            "wait": WAITS,
            "steps": (1, 2, 3, 3, 3),
        },
    ),
}
"""Everything that can happen: how often, and with what."""


def drawn(name: str) -> dict[str, st.SearchStrategy[Any]]:
    return {each: st.sampled_from(choices) for each, choices in STEPS[name][1].items()}


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


def chosen(of: Iterable[T], n: int) -> T | None:
    """The n-th of what there is, if there is anything."""
    found = list(of)
    return found[n % len(found)] if found else None


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
        self.model = Model(SPECS, self.world.clock.now, self._stood)
        self.work: dict[Any, Work] = {}
        self.told: list[tuple[Work, CallResult]] = []

    def _stood(self, account: str, since: datetime) -> timedelta:
        """How long the account stood still: what the ledger noted, which tests of its own hold to be right."""
        with self.world.database.reading() as t:
            return standstills.stood(t, account, [*Operation], since)

    @initialize(some=st.integers(1, 2 ** len(TASKS) - 1))
    def there_are_tasks(self, some: int) -> None:
        for n in range(len(TASKS)):
            if some & (1 << n):
                self.add(n, "failed")

    # --- owners and operators ---

    @rule(**drawn("add"))
    def add(self, n: int, word: str) -> None:
        account, key, part, origin = TASKS[n % len(TASKS)]
        task_id = self.world.add(key, account, sub_id=part, origin=origin, status=Status(word))
        self.model.add(task_id, account, key, part, origin, word)

    @rule(**drawn("person"))
    def person(self, n: int, what: str) -> None:
        if task := chosen(self.model.tasks.values(), n):
            self.world.act(what, task.id)
            getattr(self.model, what)(task)

    @rule(**drawn("report"))
    def report(self, n: int, word: str, age: int | None) -> None:
        at = None if age is None else self.world.clock.now - timedelta(seconds=age)
        if task := chosen(self.model.tasks.values(), n):
            self.world.report(task.id, Status(word), at=at)
            self.model.report(task, word, at)

    @rule(**drawn("pause"))
    def pause(self, account: str) -> None:
        self.world.pause(account)
        self.model.pause(account)

    @rule(**drawn("resume"))
    def resume(self) -> None:
        for account in NAMES:
            self.world.resume(account)
            self.model.resume(account)

    @rule(**drawn("change_the_limit"))
    def change_the_limit(self, account: str, most: int) -> None:
        self.world.ruled(account, policy={"max_retries": most})
        self.model.own[account] = most

    @rule(**drawn("time_passes"))
    def time_passes(self, seconds: int) -> None:
        self.model.now = self.world.clock.forward(seconds)

    # --- the scheduler ---

    @rule(**drawn("claim"))
    def claim(self, account: str, operation: Operation) -> None:
        self._claim(account, operation)

    def _claim(self, account: str, operation: Operation) -> Batch | None:
        batch = self.world.claim(account, operation).batch
        expected = self.model.claim(account, operation.value)
        found = self.world.batch(batch.id)["task_ids"] if batch is not None else []
        expected = sorted(expected + self.model.taken_along(operation.value, expected, set(found) - {*expected}))
        assert sorted(found) == expected
        if batch is None:
            return None
        self.model.claimed(batch.id, account, operation.value, expected)
        return self.model.batches[batch.id]

    @rule(**drawn("rescue"))
    def rescue(self, after: int) -> None:
        self.time_passes(after)
        with self.world.begin() as t:
            lost = ledger.expired(t)
        assert {each.id for each in lost} == self.model.expired()
        for each in lost:
            self.world.rescue(each.id, each.account)
            assert self.world.rescue(each.id, each.account) == 0
            self.model.rescue(self.model.batches[each.id])

    # --- the worker: each step may be the last one it makes ---

    @rule(**drawn("begin"))
    def begin(self, n: int) -> None:
        # The newest first: those begun long ago say no anyway.
        if batch := chosen(reversed(self.model.batches.values()), n):
            self._begin(batch)

    @rule(**drawn("published_again"))
    def published_again(self, end: bool) -> None:  # noqa: FBT001 - drawn
        """Queued batches do reach a worker in the end; it may find that there is nothing to send."""
        for batch in [batch for batch in self.model.batches.values() if batch.status == "queued"]:
            self._begin(batch)
            if end:
                self._finish(batch)

    def _begin(self, batch: Batch) -> None:
        work = self.world.begin_batch(batch.id)  # type: ignore[arg-type]
        assert (work is not None) == self.model.begin(batch)
        if work is not None:
            self.work[batch.id] = work
            still = [i for i in batch.ids if batch.operation == "check" or self.model.tasks[i].batch == batch.id]
            assert [task.id for task in work.tasks] == still

    @rule(**drawn("open_attempts"))
    def open_attempts(self, n: int, some: int) -> None:
        if batch := chosen(self._sending("retry"), n):
            self._open(batch, [i for at, i in enumerate(batch.ids) if some & (1 << at % 3)])

    def _open(self, batch: Batch, ids: list[int]) -> None:
        step = self.world.open(self.work[batch.id], ids)
        found = {task.id for permit in step.permits for task in permit.tasks}
        assert found == self.model.open(batch, [task.id for task in self.work[batch.id].tasks if task.id in ids])

    @rule(**drawn("answer"))
    def answer(self, n: int, outcome: str, wait: float) -> None:
        if task := chosen(self._open_ones(), n):
            self._answer(task, outcome, wait)

    def _answer(self, task: Task, outcome: str, wait: float) -> None:
        batch, opened = self.model.batches[task.open], task.opened
        work = self.work[batch.id]
        path = self._path(task, Operation.RETRY)
        assert opened is not None
        told = CallResult(path, opened, {task.id: OUTCOMES[outcome](wait)})
        self.world.advance(work, [told])
        self.told.append((work, told))
        self.model.answer(batch, task, outcome, wait)

    @rule(**drawn("say_it_again"))
    def say_it_again(self, n: int) -> None:
        """A record repeated, or late: what is closed stays as it is."""
        work, told = chosen(self.told, n) or (None, None)
        if work is None or told is None:
            return
        if self.model.batches[work.id].status == "sending":
            self.world.advance(work, [told])
        else:
            with pytest.raises(StaleBatch):
                self.world.advance(work, [told])

    @rule(**drawn("finish"))
    def finish(self, n: int) -> None:
        work = chosen(reversed(self.work.values()), n)
        if work is not None and self.model.batches[work.id].status == "sending":
            self._finish(self.model.batches[work.id])
        elif work is not None:
            with pytest.raises(StaleBatch):
                self.world.finish(work)

    @rule(**drawn("ask"))
    def ask(self, n: int) -> None:
        if batch := chosen(self._sending("check"), n):
            self._ask(batch)

    def _ask(self, batch: Batch) -> None:
        work = self.work[batch.id]
        step = self.world.advance_checks(work, [], self.world.groups(work), {})
        asked = {task.id: task.attempts for permit in step.permits for task in permit.tasks}
        assert set(asked) == self.model.ask(batch)
        assert asked == {i: self.model.tasks[i].number for i in asked}

    @rule(**drawn("look"))
    def look(self, n: int, look: State | str, mark: str, wait: float) -> None:
        if asked := chosen(self._asked(), n):
            self._look(*asked, look, mark, wait)

    def _look(self, batch: Batch, task: Task, look: State | str, mark: str, wait: float) -> None:
        asked_at, number = batch.asked[task.id]
        found = Reading(state=State(look), mark=mark) if isinstance(look, State) else NO_READING[look](wait)
        told = CallResult(self._path(task, Operation.CHECK), asked_at, {task.id: found})
        if batch.status != "sending":
            with pytest.raises(StaleBatch):
                self.world.advance_checks(self.work[batch.id], [told], [], {task.id: number})
            del batch.asked[task.id]
            return
        self.world.advance_checks(self.work[batch.id], [told], [], {task.id: number})
        self.model.look(batch, task, look, mark, wait)

    # --- the usual course, so that deep states are reached often; it may break off after any step ---

    @rule(**drawn("course"))
    def course(self, account: str, after: int, outcome: str, wait: float, steps: int) -> None:
        self.time_passes(after)
        batch = self._claim(account, Operation.RETRY)
        if batch is None:
            return
        if steps > 1:
            self._begin(batch)
        if steps > 2:
            self._open(batch, batch.ids)
        if steps > 3:
            for task in [task for task in self._open_ones() if task.open == batch.id]:
                self._answer(task, outcome, wait)
        if steps > 4:
            self._finish(batch)

    @rule(**drawn("course_of_checks"))
    def course_of_checks(self, account: str, after: int, look: State | str, mark: str, wait: float, steps: int) -> None:
        self.time_passes(after)
        batch = self._claim(account, Operation.CHECK)
        if batch is None:
            return
        self._begin(batch)
        self._ask(batch)
        if steps > 1:
            for task_id in list(batch.asked):
                self._look(batch, self.model.tasks[task_id], look, mark, wait)
        if steps > 2:
            self._finish(batch)

    def _finish(self, batch: Batch) -> None:
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

    def _sending(self, operation: str) -> list[Batch]:
        return [b for b in self.model.batches.values() if b.status == "sending" and b.operation == operation]

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


# No timeout: a failure is shrunk first, which takes its time.
@pytest.mark.timeout(0)
def test_ledger_and_model_agree_on_what_hypothesis_finds(world: World) -> None:
    """Whatever happens in whatever order, the ledger does what the rules say and loses nothing."""
    run_state_machine_as_test(
        machine_over(world),
        settings=settings(
            max_examples=2000 if THOROUGH else 20,
            stateful_step_count=100 if THOROUGH else 30,
            deadline=None,
            print_blob=True,
            database=None,  # whoever runs it gets the blob; nobody else has this machine's failures
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.timeout(0)
def test_ledger_and_model_agree_on_long_histories(world: World) -> None:
    """The same, far from the beginning: Hypothesis varies what it knows, dice go where it would not."""
    machine = machine_over(world)
    for _ in range(2000 if THOROUGH else 20):
        history = long_history(Random(), 200 if THOROUGH else 60)
        if played(machine, history) is not None:
            shortest = shortened(machine, history)
            raise AssertionError("\n".join(["it fails after:", *map(str, shortest)])) from played(machine, shortest)


def machine_over(world: World) -> type[Ledger]:
    return type("Machine", (Ledger,), {"world": world})


History = list[tuple[str, dict[str, Any]]]


def long_history(dice: Random, length: int) -> History:
    names = dice.choices(list(STEPS), [weight for weight, _ in STEPS.values()], k=length)
    steps = [(name, {each: dice.choice(choices) for each, choices in STEPS[name][1].items()}) for name in names]
    return [("there_are_tasks", {"some": 2 ** len(TASKS) - 1}), *steps]


def played(machine: type[Ledger], history: History) -> BaseException | None:
    """What goes wrong when it happens, if anything."""
    one = machine()
    try:
        for name, values in history:
            getattr(one, name)(**values)
            one.agree()
    except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - whatever goes wrong is what is looked for
        return error
    return None


def shortened(machine: type[Ledger], history: History) -> History:
    """The history without the steps it fails without."""
    for at in reversed(range(len(history))):
        shorter = history[:at] + history[at + 1 :]
        if played(machine, shorter) is not None:
            history = shorter
    return history
