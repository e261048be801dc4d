"""What must hold when all faults are over and everything has come to rest."""

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, func, select, true

from redrive.models.ledger.rows import end_name
from redrive.models.ledger.totals import totals_now
from redrive.models.sql.db import Database, Transaction
from redrive.models.sql.tables import accounts, actions, attempts, batches, limits, quarantine, tasks
from redrive.models.sql.types import Moment
from redrive.models.states import ENDED_STATES, DeadReason, Status
from redrive.models.task import Task
from redrive.sandbox.behavior import Detail, Refusal
from redrive.sandbox.task import RunState
from redrive.sandbox.task import SandboxTask as AtProvider
from tests.simulation.plan import CHECK_TIMEOUT_SECONDS, NewTask, Plan
from tests.simulation.process import Machine
from tests.simulation.provider import Provider
from tests.simulation.stage import START
from tests.simulation.strange import StrangeThings

REFUSED_AS: Mapping[DeadReason, tuple[Refusal, ...]] = {
    DeadReason.LIMIT_REACHED: (Refusal.LIMIT_REACHED,),
    DeadReason.NOT_FOUND: (Refusal.MISSING, Refusal.RULE_ELSEWHERE),
    DeadReason.RESOURCE_GONE: (Refusal.GONE, Refusal.EXPIRED),
    DeadReason.REFUSED: (Refusal.NOT_ALLOWED, Refusal.APP_VERSION),
}
"""For which scripted refusals a task may be dead with a reason."""


def _next_moments() -> Select[Any]:
    moments = (
        (tasks.c.due_at, true()),
        (batches.c.lease_until, batches.c.status == "sending"),
        (batches.c.publish_at, batches.c.status == "queued"),
        (limits.c.open_until, true()),
        (limits.c.blocked_until, true()),
        (accounts.c.probe_at, true()),
    )
    now = bindparam("now", type_=Moment())
    return select(*(select(func.min(at)).where(at > now, where).scalar_subquery() for at, where in moments))


_NEXT = _next_moments()
# By name: what an odd row holds beside these, nobody can read.
_PLAIN = (tasks.c.id, tasks.c.account, tasks.c.status, tasks.c.spent, tasks.c.dead_reason)
_READABLE = (*_PLAIN, tasks.c.external_id, tasks.c.sub_id, tasks.c.due_at, tasks.c.last_error)
_FAILED = select(*_READABLE).where(tasks.c.status.in_(("failed", "canceled", "dead"))).order_by(tasks.c.id)
_SET_ASIDE = select(quarantine.c.task_id, quarantine.c.why)
_IN_NO_BATCH = select(tasks.c.id, tasks.c.batch_id).where(
    tasks.c.status == Status.IN_FLIGHT.value,
    ~select(batches.c.id).where(batches.c.id == tasks.c.batch_id, batches.c.status.in_(("queued", "sending"))).exists(),
)
_UNDER_WAY = select(batches).where(batches.c.status.in_(("queued", "sending"))).order_by(batches.c.id)


class Ending:
    """Compares the rows with the providers' own state."""

    def __init__(
        self, plan: Plan, provider: Provider, database: Database, machine: Machine, strange: StrangeThings
    ) -> None:
        self.stopped: set[int] = set()
        self._plan = plan
        self._provider = provider
        self._database = database
        self._machine = machine
        self._strange = strange

    def unfinished(self, accounts_: set[str] | None = None) -> list[str]:
        """Tasks that have not ended, and batches that are under way."""
        with self._database.reading() as t:
            set_aside = {row.task_id: row.why for row in t.rows(_SET_ASIDE)}
            left = [
                f"task {row.id} ({row.account} {row.external_id} {row.sub_id}) is {row.status}"
                for row in self._unended(t)
                if (accounts_ is None or row.account in accounts_) and not self._rests(row, set_aside)
            ]
            if accounts_ is None:
                left += [f"batch {row.id} is {row.status}" for row in t.rows(_UNDER_WAY)]
                left += [f"odd task {row.id} is {row.status}" for row in self._odd(t) if not set_aside.get(row.id)]
        return left

    def _unended(self, t: Transaction) -> Iterator[Any]:
        ended = [status.value for status in ENDED_STATES]
        unended = tasks.c.status.not_in(ended) & tasks.c.id.not_in(self._strange.odd)
        yield from t.rows(select(*_READABLE).where(unended).order_by(tasks.c.id))

    def _odd(self, t: Transaction) -> Iterator[Any]:
        ended = [status.value for status in (*ENDED_STATES, Status.HELD)]
        unended = tasks.c.status.not_in(ended) & tasks.c.id.in_(self._strange.odd)
        yield from t.rows(select(*_PLAIN).where(unended).order_by(tasks.c.id))

    def _rests(self, row: Any, set_aside: Mapping[int, str]) -> bool:
        """Whether it waits for a person or for another policy, and says so."""
        if row.status == Status.CANCELED.value and row.due_at is None:
            rules = self._machine.rules.get(row.account)
            return rules is not None and not rules.policy.retry_canceled
        if row.external_id not in self._provider.unreadable:
            return False
        waits = set_aside.get(row.id) if row.status == Status.HELD.value else row.due_at
        return bool(waits and row.last_error)

    @property
    def odd(self) -> set[int]:
        return self._strange.odd

    def held(self, t: Transaction) -> list[int]:
        """Tasks that are worth releasing: those set aside whose checks nobody understands come back at once."""
        kept = {row.task_id for row in t.rows(_SET_ASIDE)}
        held = select(*_READABLE).where(tasks.c.status == Status.HELD.value, tasks.c.id.not_in(self.odd))
        unreadable = self._provider.unreadable
        return sorted(row.id for row in t.rows(held) if row.id not in kept or row.external_id not in unreadable)

    def adrift(self) -> Iterator[str]:
        """Tasks that nobody would ever look at again."""
        with self._database.reading() as t:
            for row in t.rows(_IN_NO_BATCH):
                yield f"task {row.id} is in flight in no batch that is under way: {row.batch_id}"

    def next_moment(self, now: datetime) -> float | None:
        """Seconds till something stored falls due, so that an idle scheduler looks neither long before nor after."""
        with self._database.reading() as t:
            found = [moment for moment in t.connection.execute(_NEXT, {"now": now}).one() if moment is not None]
        return (min(found) - now).total_seconds() if found else None

    def misjudged(self) -> list[str]:
        """Tasks that are failed or dead here although the provider still runs a retry we asked for."""
        world, now = self._provider.sandbox.world, self._provider.stage.now().timestamp()
        running = {
            task.external_id
            for known in world.tasks.values()
            for task in known.values()
            if task.redone and task.script.refusal is not Refusal.MISSING and world.under_way(task, now)
        }
        if not running:
            return []
        with self._database.reading() as t:
            ours = tasks.c.id.not_in(self.odd)
            found = [row for row in t.rows(_FAILED.where(ours)) if (row.sub_id or row.external_id) in running]
        return [
            f"{row.account} {row.external_id} {row.sub_id} is {row.status} here while its retry runs"
            for row in found
            if self._alone(row.external_id)
        ]

    def _alone(self, external_id: str) -> bool:
        """Whether nothing but its own retries runs it: a review runs its rules, too."""
        return sum(each.external_id == external_id for each in self._plan.tasks) == 1

    def wrong(self) -> Iterator[str]:
        """Everything that is not as it must be."""
        with self._database.reading() as t:
            yield from self._rows(t)
            yield from self._totals(t)
            yield from self._pauses(t)
            found = {task.external_id + "/" + task.sub_id + "/" + task.kind: task for task in self._tasks(t)}
        for new in self._plan.tasks:
            task = found[f"{new.external_id}/{new.sub_id}/{new.kind}"]
            for words in self._task(new, task):
                yield f"task {task.id} ({task.account} {task.external_id} {task.sub_id}): {words}"

    def _rows(self, t: Transaction) -> Iterator[str]:
        for row in t.rows(select(attempts).where(attempts.c.closed_at.is_(None))):
            yield f"attempt {row.number} of task {row.task_id} is open"
        # One that nobody began, as its account is in no settings any more, never had a lease.
        for row in t.rows(select(batches).where(batches.c.status == "lost", batches.c.worker != "")):
            if row.ended_at < row.lease_until:
                yield f"batch {row.id} was given up {row.lease_until - row.ended_at} before its lease was over"
            if row.lease_until < row.begun_at + timedelta(seconds=1):
                yield f"batch {row.id} had no lease"
        spent = select(attempts.c.task_id, func.count().label("n")).where(attempts.c.spent).group_by(attempts.c.task_id)
        counted = {row.task_id: row.n for row in t.rows(spent)}
        for row in t.rows(select(*_PLAIN)):
            if row.spent != counted.get(row.id, 0) and row.id not in self._strange.odd:
                yield f"task {row.id} has spent {row.spent}, its attempts say {counted.get(row.id, 0)}"

    def _totals(self, t: Transaction) -> Iterator[str]:
        """What status and metrics are made of is what the rows say."""
        owner = {row.id: row for row in t.rows(select(*_PLAIN))}
        want: Counter[tuple[str, str]] = Counter()
        for row in t.rows(select(attempts.c.task_id, attempts.c.outcome, attempts.c.spent)):
            account = owner[row.task_id].account
            want[account, "attempts"] += 1
            want[account, "spent"] += row.spent
            want[account, f"outcome:{row.outcome}"] += 1
        want.update((row.account, name) for row in owner.values() if (name := end_name(row.status, row.dead_reason)))
        told = {(row.account, row.name): row.value for row in totals_now(t) if not row.name.startswith("calls:")}
        for account, name in sorted(want.keys() | told.keys()):
            if want[account, name] != told.get((account, name), 0):
                yield f"{account}: {name} is {told.get((account, name), 0)}, its rows say {want[account, name]}"

    def _pauses(self, t: Transaction) -> Iterator[str]:
        """Who was paused by Redrive was told so by its provider."""
        for row in t.rows(select(actions).where(actions.c.what == "pause", actions.c.who == "redrive")):
            told = self._provider.blocks[row.account]
            if self._plan.strange.calendar_steps and "check this machine's clock" in row.why:
                continue
            # A call that is about three tasks is three tasks.
            calls = 1 if self._machine.rules[row.account].capabilities.check_ids >= 3 else 3
            forbidden = "forbidden" in row.why and told.count("403") >= calls
            if not forbidden and not any(word != "403" and word in row.why for word in told):
                yield f"{row.account} was paused for {row.why!r}; its provider said {told}"

    def _task(self, new: NewTask, task: Task) -> Iterator[str]:
        sort, id_ = new.at_provider
        provider = self._machine.rules[new.account].provider
        there = self._provider.sandbox.world.tasks[provider, sort].get(id_)
        asked = there.asked if there is not None else 0
        limits_ = [task.limit(rules[new.account]) for rules in self._machine.ever if new.account in rules]
        if asked > task.spent:
            yield f"asked for {asked} times, but spent is {task.spent}"
        if task.spent > max(limits_):
            yield f"spent {task.spent} of {max(limits_)}"
        if there is None:
            if task.status is not Status.DEAD:
                yield f"is {task.status}, and its provider was never asked"
            return
        state = self._provider.sandbox.world.state(there, self._provider.stage.now().timestamp())
        if task.status is Status.SUCCEEDED and state is not RunState.SUCCEEDED:
            yield f"succeeded here, {state.value} at its provider"
        if task.status is Status.DEAD and task.dead_reason is not None:
            yield from self._dead(new, task, there, state, min(limits_))

    def _dead(self, new: NewTask, task: Task, there: AtProvider, state: RunState, limit: int) -> Iterator[str]:
        reason = DeadReason(task.dead_reason or "")
        told = self._provider.refusals[there.provider, new.at_provider[0], there.external_id]
        if reason.value in told or {new.script.refusal, there.script.refusal} & {*REFUSED_AS.get(reason, ())}:
            return
        if reason is DeadReason.LIMIT_REACHED and task.spent >= limit:
            shown = there.script.refusal is not Refusal.MISSING  # what was deleted shows no end
            if shown and self._alone(new.external_id) and state not in {RunState.FAILED, RunState.CANCELED}:
                yield f"dead (limit_reached), {state.value} at its provider"
            return
        if not self._true(reason, new, task, there):
            yield f"dead ({reason.value}) for no true reason: {task.last_error}"

    def _true(self, reason: DeadReason, new: NewTask, task: Task, there: AtProvider) -> bool:
        key = (there.provider, new.at_provider[0], there.external_id)
        match reason:
            case DeadReason.RESOURCE_GONE:
                return new.script.detail is Detail.PHONE_DELETED and there.runs > 0
            case DeadReason.LIMIT_REACHED:
                return there.provider == "geelark" and there.runs >= 5
            case DeadReason.REFUSED:
                strange = new.external_id in self._provider.ever_unreadable or new.account in self._provider.puzzled
                return self._provider.doubts[key] + there.refused + strange >= 2
            case DeadReason.UNDELIVERABLE:
                return self._provider.undelivered[new.account] >= 20
            case DeadReason.EXPIRED:
                followed = task.status_since - START + self._strange.stepped
                return followed >= timedelta(seconds=CHECK_TIMEOUT_SECONDS)
            case DeadReason.STOPPED:
                return task.id in self.stopped
            case _:
                return False

    def _tasks(self, t: Transaction) -> list[Task]:
        ours = tasks.c.id.not_in(self._strange.odd)
        return [Task.of(row) for row in t.rows(select(tasks).where(ours).order_by(tasks.c.id))]
