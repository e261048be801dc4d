"""The last word: what became of every task, and whether the provider, the record and the script agree about it.

What a task must come to is derived from its script alone (``redrive/sandbox/expectation.py``). Faults allow one
deviation and no other: an attempt whose call never got through, or whose answer was lost, counts all the same, so that
a task may come to the end of its limit earlier. It is then ``dead (limit_reached)``, has spent its whole limit, and the
provider took fewer retries than its script needs. Every other end is a task lost.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import func, select

from redrive.models import queries
from redrive.models.ledger.totals import totals_now
from redrive.models.rules import Rules
from redrive.models.sql.db import Transaction
from redrive.models.sql.tables import attempts, batches, tasks
from redrive.models.states import DeadReason, Status
from redrive.models.task import Task
from redrive.sandbox.expectation import Expectation, expectation
from redrive.sandbox.script import parse
from tests.chaos.world import ChaosWorld

ENDED = {Status.SUCCEEDED, Status.DEAD}
TOOK, DOUBTFUL = {"accepted"}, {"unknown"}
REFUSED = {"refused", "already"}
NEVER_SEEN: Mapping[str, Any] = {"accepted": 0, "asked": 0, "refused": 0, "state": "never heard of"}
KEPT_HISTORIES = 20


@dataclass(slots=True)
class Verdict:
    """What the final check found.

    Attributes:
        struck: calls that met one of the provider's bad manners.
        violations: by the provider's count, by kind.
        lost: tasks that did not end, or not as they must.
        wrong: whatever else does not agree, in words.
        strange: tasks that were deleted at their provider, or shown in strange words.
        beside: share of their pace that ten healthy accounts kept beside each kind of trouble.
        shortened: tasks that came to their limit early because answers were lost, as the faults allow.
        histories: of the tasks concerned, as far as they are kept.
    """

    tasks: int = 0
    attempts: int = 0
    calls: int = 0
    struck: int = 0
    shortened: int = 0
    strange: int = 0
    beside: dict[str, float] = field(default_factory=dict)
    ends: dict[str, int] = field(default_factory=dict)
    violations: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    histories: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.violations or self.lost or self.wrong)


@dataclass(frozen=True, slots=True)
class Case:
    """One task, its script's end, its attempts by outcome, and what the provider counted.

    Of a strange one, which was deleted or not to be understood for a while, its script says nothing any more.
    """

    task: Task
    rules: Rules
    want: Expectation
    outcomes: Counter[str]
    provider: Mapping[str, Any]
    strange: bool

    @property
    def name(self) -> str:
        """For people, and for finding it again."""
        kind = f"{self.task.kind} " if self.task.kind else ""
        return (
            f"task {self.task.id} ({self.task.account} {kind}{self.task.external_id} {self.task.sub_id}".rstrip() + ")"
        )

    def count(self, names: set[str]) -> int:
        """Attempts with one of these outcomes."""
        return sum(self.outcomes[name] for name in names)


def judge(world: ChaosWorld, added: int) -> Verdict:
    """The whole check; the world is at rest."""
    verdict = Verdict()
    stats = world.sandbox("stats")
    verdict.violations = stats["violations"]
    verdict.calls = sum(stats["calls"].values())
    verdict.struck = sum(stats["faults"].values())
    with world.database.reading() as t:
        rows = _rows(t, world.odd)
        verdict.wrong += _unfinished_business(t)
        verdict.wrong += _miscounted(t)
    # Asking the provider about each takes longer than a transaction may stand still.
    cases = list(_cases(world, *rows))
    verdict.tasks, verdict.attempts = len(cases), sum(case.outcomes.total() for case in cases)
    if verdict.tasks != added:
        verdict.lost.append(f"{added} tasks were added, {verdict.tasks} are there")
    offenders = [case.task for case in cases if _judge_one(case, verdict)]
    named = {word for each in verdict.violations.values() for words in each["examples"] for word in words.split()}
    named = {word.rstrip(":") for word in named}
    offenders += [case.task for case in cases if {case.task.external_id, case.task.sub_id} & named]
    verdict.histories = [_history(world, task) for task in offenders[:KEPT_HISTORIES]]
    return verdict


def _judge_one(case: Case, verdict: Verdict) -> bool:
    """Whether something is wrong with it."""
    end = f"{case.task.status} {case.task.dead_reason or ''}".strip()
    verdict.ends[end] = verdict.ends.get(end, 0) + 1
    lost = [f"{case.name}: {words}" for words in _why_lost(case)]
    wrong = [f"{case.name}: {words}" for words in _disagreements(case)]
    verdict.strange += case.strange
    verdict.shortened += not lost and not case.strange and _end(case.task) != (case.want.status, case.want.dead_reason)
    verdict.lost += lost
    verdict.wrong += wrong
    return bool(lost or wrong)


# --- One task --------------------------------------------------------------------------------------------------------


def _end(task: Task) -> tuple[str, str | None]:
    return task.status.value, task.dead_reason


def _why_lost(case: Case) -> Iterator[str]:
    task, want = case.task, case.want
    if task.status not in ENDED:
        yield f"it has not ended: {task.status}"
    elif case.strange:
        return
    elif _end(task) != (want.status, want.dead_reason) and not _shortened(case):
        yield f"it is {' '.join(filter(None, _end(task)))}, its script says {want}"
    if case.provider["accepted"] > want.retries:
        yield f"the provider took {case.provider['accepted']} retries, its script needs {want.retries}"
    if task.status is Status.SUCCEEDED and case.provider["state"] != "succeeded":
        yield f"it has succeeded, the provider says {case.provider['state']}"
    if task.dead_reason == DeadReason.LIMIT_REACHED and want.retries and task.spent < task.limit(case.rules):
        yield f"it is at its limit with {task.spent} of {task.limit(case.rules)} spent"


def _shortened(case: Case) -> bool:
    """Whether lost answers used up its limit before its script came to its end."""
    dead = _end(case.task) == (Status.DEAD, DeadReason.LIMIT_REACHED)
    whole = case.task.spent == case.task.limit(case.rules)
    wasted = case.task.spent - case.provider["accepted"]
    needed = case.want.retries
    return dead and whole and wasted > 0 and case.provider["accepted"] < max(needed, 1)


def _disagreements(case: Case) -> Iterator[str]:
    """Record against record, and record against the provider."""
    task, told = case.task, case.provider
    took, doubtful, refused = case.count(TOOK), case.count(DOUBTFUL), case.count(REFUSED)
    if task.spent > task.limit(case.rules):
        yield f"spent {task.spent} of {task.limit(case.rules)}"
    if (task.spent, task.attempts) != (took + doubtful, case.outcomes.total()):
        yield f"its row says {task.spent} of {task.attempts} attempts were spent, its attempts say {case.outcomes}"
    if case.outcomes["open"]:
        yield "an attempt of it is open"
    if not took <= told["accepted"]:
        yield f"{took} attempts are recorded as accepted, the provider took {told['accepted']}"
    if not refused <= told["refused"]:
        yield f"{refused} attempts are recorded as refused, the provider refused {told['refused']}"
    if told["accepted"] - took + told["refused"] - refused > doubtful:
        yield f"calls without a record: the provider counts {dict(told)}, its attempts say {case.outcomes}"


# --- All of them -----------------------------------------------------------------------------------------------------


def _rows(t: Transaction, odd: Collection[int]) -> tuple[list[Task], Mapping[int, Counter[str]]]:
    """All tasks, and how often each outcome was had of each."""
    outcomes: dict[int, Counter[str]] = defaultdict(Counter)
    name = func.coalesce(attempts.c.outcome, "open").label("name")
    counted = select(attempts.c.task_id, name, func.count().label("n")).group_by(attempts.c.task_id, name)
    for row in t.rows(counted):
        outcomes[row.task_id][row.name] = row.n
    return [Task.of(row) for row in t.rows(select(tasks).where(tasks.c.id.not_in(odd)).order_by(tasks.c.id))], outcomes


def _cases(world: ChaosWorld, found: list[Task], outcomes: Mapping[int, Counter[str]]) -> Iterator[Case]:
    with httpx.Client(base_url=world.sandbox_url, timeout=30) as provider:
        for task in found:
            rules = world.rules[task.account]
            want = expectation(rules.provider, task.kind, parse(task.external_id), rules.policy.max_retries)
            yield Case(
                task,
                rules,
                want,
                outcomes[task.id],
                _told(provider, rules.provider, task),
                task.external_id in world.strange,
            )


def _told(provider: httpx.Client, name: str, task: Task) -> Mapping[str, Any]:
    answer = provider.get(f"/_sandbox/tasks/{task.sub_id or task.external_id}")
    found: list[dict[str, Any]] = answer.json() if answer.is_success else []
    mine = (each for each in found if (each["provider"], each["kind"]) == (name, task.kind))
    return next(mine, NEVER_SEEN)


def _unfinished_business(t: Transaction) -> Iterator[str]:
    unfinished = select(batches.c.status, func.count().label("n")).group_by(batches.c.status)
    for row in t.rows(unfinished.where(batches.c.status.in_(("queued", "sending")))):
        yield f"{row.n} batches are {row.status}"


def _miscounted(t: Transaction) -> Iterator[str]:
    """The totals that status and metrics are made of, against the rows they count."""
    closed = select(tasks.c.account, func.count().label("n")).join(attempts, attempts.c.task_id == tasks.c.id)
    rows = {row.account: row.n for row in t.rows(closed.group_by(tasks.c.account))}
    told = {row.account: row.value for row in totals_now(t) if row.name == "attempts"}
    for account in rows.keys() | told.keys():
        if rows.get(account, 0) != told.get(account, 0):
            yield f"{account}: {told.get(account, 0)} attempts are counted, {rows.get(account, 0)} are there"


def _history(world: ChaosWorld, task: Task) -> str:
    with world.database.reading() as t:
        found = queries.history(t, task.id)
    assert found is not None
    lines = [f"{found.task}", *map(str, found.attempts), *map(str, found.actions)]
    told = httpx.get(f"{world.sandbox_url}/_sandbox/tasks/{task.sub_id or task.external_id}")
    return "\n  ".join([*lines, f"provider: {told.text}"])
