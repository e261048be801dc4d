"""What must hold when all faults are over and everything has come to rest."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, func, select, true

from models.db import Database, Transaction
from models.rules import Rules
from models.states import ENDED_STATES, DeadReason, Status
from models.tables import accounts, actions, attempts, batches, limits, tasks
from models.task import Task
from models.types import Moment
from redrive.sandbox.behavior import Detail, Refusal
from redrive.sandbox.task import State
from redrive.sandbox.task import Task as AtProvider

from .plan import CHECK_TIMEOUT_SECONDS, NewTask, Plan
from .provider import Provider
from .stage import START

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
_UNFINISHED = select(tasks).where(tasks.c.status.not_in([status.value for status in ENDED_STATES])).order_by(tasks.c.id)
_FAILED = select(tasks).where(tasks.c.status.in_(("failed", "canceled", "dead"))).order_by(tasks.c.id)
_UNDER_WAY = select(batches).where(batches.c.status.in_(("queued", "sending"))).order_by(batches.c.id)


class Ending:
    """Compares the rows with the providers' own state."""

    def __init__(self, plan: Plan, provider: Provider, database: Database, rules: Mapping[str, Rules]) -> None:
        self.stopped: set[int] = set()
        self._plan = plan
        self._provider = provider
        self._database = database
        self._rules = rules

    def unfinished(self, accounts_: set[str] | None = None) -> list[str]:
        """Tasks that have not ended, and batches that are under way."""
        with self._database.reading() as t:
            left = [
                f"task {row.id} ({row.account} {row.external_id} {row.sub_id}) is {row.status}"
                for row in t.rows(_UNFINISHED)
                if accounts_ is None or row.account in accounts_
            ]
            if accounts_ is None:
                left += [f"batch {row.id} is {row.status}" for row in t.rows(_UNDER_WAY)]
        return left

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
            if task.redone and world.under_way(task, now)
        }
        if not running:
            return []
        with self._database.reading() as t:
            found = [row for row in t.rows(_FAILED) if (row.sub_id or row.external_id) in running]
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
            yield from self._pauses(t)
            found = {task.external_id + "/" + task.sub_id + "/" + task.kind: task for task in _tasks(t)}
        for new in self._plan.tasks:
            task = found[f"{new.external_id}/{new.sub_id}/{new.kind}"]
            for words in self._task(new, task):
                yield f"task {task.id} ({task.account} {task.external_id} {task.sub_id}): {words}"

    def _rows(self, t: Transaction) -> Iterator[str]:
        for row in t.rows(select(attempts).where(attempts.c.closed_at.is_(None))):
            yield f"attempt {row.number} of task {row.task_id} is open"
        for row in t.rows(select(batches)):
            if row.status == "lost" and row.ended_at < row.lease_until:
                yield f"batch {row.id} was given up {row.lease_until - row.ended_at} before its lease was over"
            if row.status == "lost" and row.lease_until < row.begun_at + timedelta(seconds=1):
                yield f"batch {row.id} had no lease"
        spent = select(attempts.c.task_id, func.count().label("n")).where(attempts.c.spent).group_by(attempts.c.task_id)
        counted = {row.task_id: row.n for row in t.rows(spent)}
        for row in t.rows(select(tasks)):
            if row.spent != counted.get(row.id, 0):
                yield f"task {row.id} has spent {row.spent}, its attempts say {counted.get(row.id, 0)}"

    def _pauses(self, t: Transaction) -> Iterator[str]:
        """Who was paused by Redrive was told so by its provider."""
        for row in t.rows(select(actions).where(actions.c.what == "pause", actions.c.who == "redrive")):
            told = self._provider.blocks[row.account]
            forbidden = "forbidden" in row.why and told.count("403") >= 3
            if not forbidden and not any(word != "403" and word in row.why for word in told):
                yield f"{row.account} was paused for {row.why!r}; its provider said {told}"

    def _task(self, new: NewTask, task: Task) -> Iterator[str]:
        sort, id_ = new.at_provider
        provider = self._rules[new.account].provider
        there = self._provider.sandbox.world.tasks[provider, sort].get(id_)
        asked = there.asked if there is not None else 0
        limit = task.limit(self._rules[new.account])
        if asked > task.spent:
            yield f"asked for {asked} times, but spent is {task.spent}"
        if task.spent > limit:
            yield f"spent {task.spent} of {limit}"
        if there is None:
            if task.status is not Status.DEAD:
                yield f"is {task.status}, and its provider was never asked"
            return
        state = self._provider.sandbox.world.state(there, self._provider.stage.now().timestamp())
        if task.status is Status.SUCCEEDED and state is not State.SUCCEEDED:
            yield f"succeeded here, {state.value} at its provider"
        if task.status is Status.DEAD and task.dead_reason is not None:
            yield from self._dead(new, task, there, state, limit)

    def _dead(self, new: NewTask, task: Task, there: AtProvider, state: State, limit: int) -> Iterator[str]:
        reason = DeadReason(task.dead_reason or "")
        told = self._provider.refusals[there.provider, new.at_provider[0], there.external_id]
        if reason.value in told or new.script.refusal in REFUSED_AS.get(reason, ()):
            return
        if reason is DeadReason.LIMIT_REACHED and task.spent >= limit:
            if self._alone(new.external_id) and state is not State.FAILED and state is not State.CANCELED:
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
                return self._provider.doubts[key] + there.refused >= 2
            case DeadReason.UNDELIVERABLE:
                return self._provider.undelivered[new.account] >= 20
            case DeadReason.EXPIRED:
                return task.status_since - START >= timedelta(seconds=CHECK_TIMEOUT_SECONDS)
            case DeadReason.STOPPED:
                return task.id in self.stopped
            case _:
                return False


def _tasks(t: Transaction) -> list[Task]:
    return [Task.of(row) for row in t.rows(select(tasks).order_by(tasks.c.id))]
