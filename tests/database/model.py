"""A second opinion on a task's life: a small model in plain Python, written from the rules and not from the code.

It imports nothing of Redrive. Where it and the ledger disagree, one of the two reads the rules wrongly.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SETTLE, CHECK_AFTER, CHECK_MAX, CHECK_MOST, CHECK_TIMEOUT = 60, 30, 300, 3600, 86_400
BASE, LONGEST, GIVE_UP, MAX_ERRORS, LEASE, WINDOW = 30, 3600, 604_800, 3, 120, 4

WAITING = ("failed", "canceled")
WORKING = ("pending", "running")
FOLLOWED = ("retrying", "unknown")
ENDED = ("succeeded", "dead")


def seconds(n: float) -> timedelta:
    return timedelta(seconds=n)


@dataclass(frozen=True)
class Spec:
    """What sets one account apart."""

    name: str
    cap: int | None = None
    can_check: bool = True
    rest_canceled: bool = False
    whole_and_part: bool = False
    retries_by_itself: str = "nobody"


@dataclass
class Look:
    asked: datetime
    number: int
    state: str
    mark: str
    since: datetime
    """Since when the task had its status then."""

    @property
    def said(self) -> tuple[str, str]:
        return self.state, self.mark


@dataclass
class Task:
    """One task. ``due`` is the earliest and latest moment at which somebody must look; None: nobody does."""

    id: int
    account: str
    key: str
    part: str
    origin: str
    status: str
    since: datetime
    round: datetime
    due: tuple[datetime, datetime] | None
    next: str = "retry"
    reason: str | None = None
    number: int = 0
    spent: int = 0
    errors: int = 0
    refusals: int = 0
    granted: int = 0
    wish: str | None = None
    back: str | None = None
    batch: object = None
    open: object = None
    opened: datetime | None = None
    asked_for: bool = False
    results: list[Look] = field(default_factory=list)


@dataclass
class Batch:
    id: object
    account: str
    operation: str
    ids: list[int]
    status: str = "queued"
    lease: datetime | None = None
    asked: dict[int, tuple[datetime, int]] = field(default_factory=dict)
    claimed: dict[int, tuple[datetime, datetime] | None] = field(default_factory=dict)


class Model:
    """All tasks, batches and accounts, and what every event does to them."""

    def __init__(
        self, specs: Iterable[Spec], now: datetime, stood: Callable[[str, datetime], timedelta] = lambda *_: timedelta()
    ) -> None:
        self.now = now
        self.stood = stood
        self.specs = {spec.name: spec for spec in specs}
        self.own = dict.fromkeys(self.specs, 3)
        self.tasks: dict[int, Task] = {}
        self.batches: dict[object, Batch] = {}
        self.paused: dict[str, bool] = dict.fromkeys(self.specs, False)
        self.resumed: dict[str, datetime] = {}
        self.blocked: dict[tuple[str, str, str], datetime] = {}

    # --- small words ---

    def spec(self, task: Task) -> Spec:
        return self.specs[task.account]

    def limit(self, task: Task) -> int:
        limit, cap = self.own[task.account] + task.granted, self.spec(task).cap
        return limit if cap is None else min(limit, cap)

    def at(self, n: float = 0) -> tuple[datetime, datetime]:
        moment = self.now + seconds(n)
        return moment, moment

    def path(self, task: Task, operation: str) -> tuple[str, str, str]:
        return task.account, operation, "part" if task.part and operation == "retry" else "whole"

    def free(self, task: Task, operation: str, within: float) -> bool:
        return self.blocked.get(self.path(task, operation), self.now) <= self.now + seconds(within)

    def _go(self, task: Task, status: str, due: tuple[datetime, datetime] | None = None) -> None:
        if task.status != status:
            task.since = self.now
        task.status, task.due, task.next = status, due, "retry"
        task.reason = task.batch = task.back = None
        if status not in FOLLOWED:
            task.wish = None

    def _die(self, task: Task, reason: str) -> None:
        self._go(task, "dead")
        task.reason, task.asked_for = reason, False

    def _succeed(self, task: Task) -> None:
        self._go(task, "succeeded")
        task.errors = task.refusals = 0
        task.asked_for = False

    def _park(self, task: Task, back: str) -> None:
        self._go(task, "held")
        task.back = back

    def _fail(self, task: Task, word: str, due: tuple[datetime, datetime]) -> None:
        wish = task.wish
        if wish == "stop":
            self._die(task, "stopped")
        elif wish == "hold":
            self._park(task, word)
        else:
            self._go(task, word, due)

    def _rest(self, task: Task) -> None:
        if task.status == "canceled" and self.spec(task).rest_canceled and not task.asked_for:
            task.due, task.next = None, "retry"

    def _follow(self, task: Task, status: str, since: datetime, due: datetime) -> None:
        self._go(task, status, (due, due))
        task.since, task.next = since, "check"

    def _work(self, task: Task, word: str) -> None:
        self._go(task, word)
        task.errors = task.refusals = 0
        task.asked_for = False

    def _look_first(self, task: Task) -> None:
        if self.spec(task).can_check:
            task.next, task.due = "check", self.at()

    def _again(self, task: Task, word: str, event: str) -> None:
        """It came back: when, or whether, it is tried again."""
        if task.wish:
            return self._fail(task, word, self.at())
        if event in ("disputed", "denied") and task.refusals >= 2:
            return self._die(task, "refused" if event == "disputed" else "not_found")
        if event == "undelivered" and task.errors >= MAX_ERRORS:
            return self._die(task, "undeliverable")
        if task.spent >= self.limit(task):
            return self._die(task, "limit_reached")
        if self.now - self.stood(task.account, task.round) >= task.round + seconds(GIVE_UP):
            return self._die(task, "too_old")
        turns = task.spent if event == "failed" else task.errors
        wait = 0 if turns < 1 else min(BASE * 2 ** (turns - 1), LONGEST)
        self._go(task, word, self.at(wait))
        self._rest(task)
        return None

    def _new_failure(self, task: Task, word: str) -> None:
        task.results, task.errors, task.refusals, task.asked_for, task.round = [], 0, 0, False, self.now
        self._go(task, word, self.at())
        self._rest(task)

    # --- the owner ---

    def add(self, task_id: int, account: str, key: str, part: str, origin: str, word: str) -> None:
        if task_id not in self.tasks:
            due = None if word in WORKING else self.at()
            self.tasks[task_id] = Task(task_id, account, key, part, origin, word, self.now, self.now, due)
            self._rest(self.tasks[task_id])
        elif self.tasks[task_id].status in WORKING and word in WAITING:
            self._new_failure(self.tasks[task_id], word)
        else:
            self._failed_elsewhere(self.tasks[task_id], word)

    def _failed_elsewhere(self, task: Task, word: str) -> bool:
        """What rests as canceled has failed since: somebody ran it again."""
        anew = word == "failed" and task.status == "canceled" and task.due is None
        if anew:
            self._grant_a_round(task)
            self._new_failure(task, word)
        return anew

    def report(self, task: Task, word: str, at: datetime | None) -> None:
        if at is not None and at < task.since:
            return
        if word == "succeeded":
            if task.status != "succeeded":
                self._succeed(task)
        elif word in WORKING:
            self._report_work(task, word)
        else:
            self._report_failure(task, word)

    def _report_work(self, task: Task, word: str) -> None:
        if task.status == "unknown":
            task.due = self.at()
        elif task.status == "held":
            task.back = word
        elif task.status in WORKING:
            self._work(task, word)
        elif task.status != "retrying" and not (task.status == "in_flight" and task.open):
            if task.status in ENDED and task.granted < task.spent:
                self._grant_a_round(task)
            self._work(task, word)
            task.results, task.round = [], self.now

    def _report_failure(self, task: Task, word: str) -> None:
        if task.status in FOLLOWED:
            task.due = self.at()
        elif task.status == "held":
            task.back, task.results = word, []
        elif task.status in WORKING:
            self._new_failure(task, word)
        elif task.status == "succeeded":
            self._grant_a_round(task)
            self._new_failure(task, word)
        elif task.status in WAITING and not self._failed_elsewhere(task, word):
            task.results = []

    # --- the operator ---

    def hold(self, task: Task) -> None:
        if task.status in FOLLOWED or (task.status == "in_flight" and task.open):
            task.wish = "hold"
        elif task.status not in (*ENDED, "held"):
            self._park(task, task.back or task.status)

    def release(self, task: Task) -> None:
        if task.wish:
            task.wish = None
        elif task.status == "held":
            back = str(task.back)
            if back in WORKING:
                self._work(task, back)
            else:
                self._go(task, back, self.at())
            self._look_first(task)

    def stop(self, task: Task) -> None:
        if task.status in FOLLOWED or (task.status == "in_flight" and task.open):
            task.wish = "stop"
        elif task.status not in ENDED:
            self._die(task, "stopped")

    def retry(self, task: Task) -> None:
        if task.status == "held":
            self.release(task)
        if task.status in WAITING:
            task.due, task.asked_for = self.at(), True
        elif task.status in (*WORKING, *FOLLOWED) and self.spec(task).can_check:
            task.due, task.next = self.at(), "check"

    def force(self, task: Task) -> None:
        if task.status in (*WAITING, *ENDED, "held"):
            if not self._grant(task, 1):
                return
            if task.status in ENDED:
                self._reopen(task)
        self.retry(task)

    def revive(self, task: Task) -> None:
        if task.status in ENDED and self._grant(task, self.own[task.account]):
            self._reopen(task)

    def _grant(self, task: Task, more: int) -> bool:
        cap = self.spec(task).cap
        if cap is not None and task.spent >= cap:
            return False
        self._raise_limit(task, more)
        return True

    def _raise_limit(self, task: Task, more: int) -> None:
        # Where the limit was lowered below what is spent, a grant counts from what is spent.
        task.granted = max(task.granted, task.spent - self.own[task.account]) + more

    def _grant_a_round(self, task: Task) -> None:
        self._raise_limit(task, self.own[task.account])

    def _reopen(self, task: Task) -> None:
        self._new_failure(task, "failed")
        self._look_first(task)

    def pause(self, account: str) -> None:
        self.paused[account] = True

    def resume(self, account: str) -> None:
        self.paused[account] = False
        self.resumed[account] = self.now

    # --- the scheduler ---

    def claimable(self, account: str, operation: str) -> bool:
        mine = [b for b in self.batches.values() if b.account == account and b.operation == operation]
        return not self.paused[account] and sum(b.status in ("queued", "sending") for b in mine) < WINDOW

    def _due(self, account: str, operation: str) -> list[Task]:
        if not self.claimable(account, operation):
            return []
        states = WAITING if operation == "retry" else (*WAITING, *WORKING, *FOLLOWED)
        return [
            task
            for task in sorted(self.tasks.values(), key=lambda x: x.id)
            if task.account == account and task.status in states and task.next == operation
            and task.due is not None and task.due[0] <= self.now and self.free(task, operation, LEASE / 2)
        ]  # fmt: skip

    def claim(self, account: str, operation: str) -> list[int]:
        """What a claim takes; whatever it looks at is moved."""
        due = self._due(account, operation)
        if operation == "check":
            for task in due:
                task.due = self.at(LEASE)
            return [task.id for task in due]
        # What is waiting its turn in this same claim stands in the other's way, whatever becomes of it.
        seen: set[tuple[str, bool]] = set()
        return [task.id for task in due if self._claim_one(task, in_the_way=self._in_the_way(task, seen))]

    def taken_along(self, operation: str, due: list[int], others: set[int]) -> list[int]:
        """Those of the others that a check call with room may take along: their wait is half over at least."""
        along = [self.tasks[i] for i in sorted(others) if self._may_come_along(self.tasks[i])]
        if operation != "check" or not due:
            return []
        for task in along:
            task.due = self.at(LEASE)
        return [task.id for task in along]

    def _may_come_along(self, task: Task) -> bool:
        if task.status not in FOLLOWED or task.due is None or self.now < task.since + seconds(SETTLE):
            return False
        elsewhere = any(b.claimed.get(task.id) == task.due for b in self.batches.values() if b.status == "sending")
        return not elsewhere and task.due[1] - self.now <= self.now - task.since

    def _in_the_way(self, task: Task, seen: set[tuple[str, bool]]) -> bool:
        if task.open:
            return True
        if not self.spec(task).whole_and_part:
            return False
        others = [x for x in self.tasks.values() if x.account == task.account and x.key == task.key]
        busy = any((x.open or x.status in ("in_flight", *FOLLOWED)) and bool(x.part) != bool(task.part) for x in others)
        if busy or (task.key, not task.part) in seen:
            return True
        seen.add((task.key, bool(task.part)))
        return False

    def _claim_one(self, task: Task, *, in_the_way: bool) -> bool:
        spec = self.spec(task)
        if task.status == "canceled" and spec.rest_canceled and not task.asked_for:
            task.due = None
        elif in_the_way:
            task.due = self.at(CHECK_AFTER)
        elif task.spent >= self.limit(task):
            self._die(task, "limit_reached")
        elif not task.results and spec.can_check and (task.part or task.origin == spec.retries_by_itself):
            task.next, task.due = "check", self.at()
        else:
            task.back, task.status, task.since, task.due = task.status, "in_flight", self.now, None
            return True
        return False

    def claimed(self, batch_id: object, account: str, operation: str, ids: list[int]) -> None:
        self.batches[batch_id] = Batch(batch_id, account, operation, ids)
        for task_id in ids if operation == "retry" else ():
            self.tasks[task_id].batch = batch_id

    def expired(self) -> set[object]:
        return {b.id for b in self.batches.values() if b.status == "sending" and b.lease and b.lease <= self.now}

    def rescue(self, batch: Batch) -> None:
        batch.status = "lost"
        for task in self.tasks.values():
            was_open = task.open == batch.id
            if was_open:
                task.open, task.spent = None, task.spent + 1
            if task.batch != batch.id:
                continue
            if was_open:
                assert batch.lease is not None
                self._doubtful(task, batch.lease)
            else:
                self._fail(task, str(task.back), self.at())

    # --- the worker ---

    def begin(self, batch: Batch) -> bool:
        if batch.status != "queued":
            return False
        batch.status, batch.lease = "sending", self.now + seconds(LEASE)
        if batch.operation == "check":
            batch.claimed = {i: self.tasks[i].due for i in batch.ids if i in self.tasks}
        return True

    def open(self, batch: Batch, ids: Iterable[int]) -> set[int]:
        """Open attempts; those that really were."""
        opened = set()
        for task in (self.tasks[i] for i in ids if i in self.tasks):
            sendable = task.batch == batch.id and not task.open and task.spent < self.limit(task)
            if sendable and not self.paused[batch.account] and self.free(task, "retry", 1):
                task.open, task.opened, task.number = batch.id, self.now, task.number + 1
                opened.add(task.id)
        return opened

    def answer(self, batch: Batch, task: Task, outcome: str, wait: float = 0) -> None:
        """An open attempt is closed with what came back."""
        opened, task.open = task.opened, None
        if outcome in ("accepted", "unknown"):
            task.spent += 1
        if outcome == "throttled":
            self._penalty(self.path(task, "retry"), wait)
        elif outcome == "blocked":
            self._pause_for(batch.account, opened)
        if task.batch == batch.id:
            self._answered(task, outcome)

    def _answered(self, task: Task, outcome: str) -> None:
        word = str(task.back)
        if outcome == "accepted":
            task.errors, task.refusals, task.asked_for = 0, 0, False
            if self.spec(task).can_check:
                self._follow(task, "retrying", self.now, self.now + seconds(CHECK_AFTER))
            else:
                self._succeed(task)
        elif outcome == "already":
            task.refusals += 1
            if self.spec(task).can_check:
                task.asked_for, task.errors = False, 0
                self._follow(task, "unknown", self.now, self.now)
            else:
                task.errors += 1
                self._again(task, word, "disputed")
        elif outcome == "refused":
            self._die(task, "not_found")
        elif outcome == "deferred":
            self._fail(task, word, self.at(BASE))
        elif outcome == "no_call":
            task.errors += 1
            self._again(task, word, "undelivered")
        elif outcome == "unknown":
            self._doubtful(task, self.now)
        else:  # throttled, blocked, unsent
            self._fail(task, word, self.at())

    def _doubtful(self, task: Task, since: datetime) -> None:
        task.errors, task.refusals, task.asked_for = 0, 0, False
        if self.spec(task).can_check:
            self._follow(task, "unknown", self.now, max(self.now, since + seconds(CHECK_AFTER)))
        elif task.wish == "stop":
            self._die(task, "stopped")
        else:
            self._park(task, str(task.back))

    def _penalty(self, path: tuple[str, str, str], wait: float) -> None:
        self.blocked[path] = max(self.blocked.get(path, self.now), self.now + seconds(wait))

    def _pause_for(self, account: str, asked: datetime | None) -> None:
        if account not in self.resumed or (asked is not None and asked >= self.resumed[account]):
            self.paused[account] = True

    def finish(self, batch: Batch) -> None:
        for task in self.tasks.values():
            if task.batch == batch.id and not task.open:
                self._fail(task, str(task.back), self.at())
        for task in (self.tasks[i] for i, due in batch.claimed.items() if i in self.tasks and self.tasks[i].due == due):
            if task.due is not None and task.next == "check":
                task.due = self.at()
        if not any(task.open == batch.id for task in self.tasks.values()):
            batch.status = "done"

    # --- looks ---

    def ask(self, batch: Batch) -> set[int]:
        """Which tasks of a check batch are checked now."""
        asked = {
            task.id
            for task in (self.tasks[i] for i in batch.ids)
            if self._wants_look(task) and not self.paused[batch.account] and self.free(task, "check", 1)
        }
        batch.asked |= {i: (self.now, self.tasks[i].number) for i in asked}
        return asked

    @staticmethod
    def _wants_look(task: Task) -> bool:
        return task.status in FOLLOWED or (task.status in (*WAITING, *WORKING) and task.next == "check")

    def look(self, batch: Batch, task: Task, state: str, mark: str = "", wait: float = 0) -> None:
        """A check that was asked comes back: a state, or why there is none."""
        asked, number = batch.asked.pop(task.id)
        if state == "throttled":
            self._penalty(self.path(task, "check"), wait)
        elif state == "blocked":
            self._pause_for(batch.account, asked)
        last = task.results[-1] if task.results else None
        late = last is not None and last.number == task.number and asked < last.asked
        if task.number != number or not self._wants_look(task) or late:
            return
        if state in ("unsent", "throttled", "blocked"):
            task.due = self.at()
        elif state == "deferred":
            task.due = self.at(CHECK_AFTER)
        elif state in ("unanswered", "unreadable"):
            self._unread(task, state)
        else:
            task.results.append(Look(asked, number, state, mark, task.since))
            task.errors = 0
            if task.status in FOLLOWED:
                self._look_at_followed(task, state, asked)
            else:
                self._look_at_waiting(task, state, asked)

    def _unread(self, task: Task, why: str) -> None:
        settled = self.now >= task.since + seconds(SETTLE) and task.status not in WORKING
        if why == "unreadable" and task.refusals and task.errors and settled:
            return self._fail(task, "failed", self.at()) if task.wish else self._die(task, "refused")
        task.errors += 1
        if task.status in FOLLOWED and self._timed_out(task):
            self._expire(task)
        elif task.errors >= MAX_ERRORS and task.status != "retrying":
            self._give_up(task)
        else:
            most = CHECK_MOST if why == "unreadable" else CHECK_MAX
            task.due = self.at(min(CHECK_AFTER * 2 ** (task.errors - 1), most))
        return None

    def _give_up(self, task: Task) -> None:
        """Nobody could read what became of it, time and again."""
        if task.status == "unknown":
            self._expire(task)
        elif task.status in WORKING:
            self._work(task, task.status)
        else:
            task.errors = 0
            self._park(task, task.status)

    def _timed_out(self, task: Task) -> bool:
        return self.now - self.stood(task.account, task.since) >= task.since + seconds(CHECK_TIMEOUT)

    def _expire(self, task: Task) -> None:
        task.errors = 0
        if task.status == "retrying":
            self._die(task, "expired")
        elif task.wish:
            self._fail(task, "failed", self.at())
        else:
            self._park(task, "failed")

    def _look_at_waiting(self, task: Task, state: str, asked: datetime) -> None:
        working = task.status in WORKING
        if state == "succeeded":
            self._succeed(task)
        elif state == "gone":
            self._die(task, "resource_gone")
        elif state == "running" and not working:
            task.refusals = 0
            self._follow(task, "retrying", self.now, self.now + seconds(CHECK_AFTER))
        elif state in ("running", "missing") and working:
            self._work(task, task.status)
        elif state == "missing":
            task.next, task.due = "retry", (asked, self.now)
        else:
            self._found_failed(task, state, asked, working=working)

    def _found_failed(self, task: Task, state: str, asked: datetime, *, working: bool) -> None:
        if working:
            task.round = self.now
        self._go(task, state, (asked, self.now))
        by_itself = task.number == 0 and task.origin == self.spec(task).retries_by_itself
        if by_itself and asked < (settled := self._same_since(task) + seconds(SETTLE)):
            task.next, task.due = "check", (settled, settled)
        else:
            self._rest(task)

    @staticmethod
    def _same_since(task: Task) -> datetime:
        first = task.results[-1]
        for look in reversed(task.results):
            if look.said != first.said or look.number != first.number:
                break
            first = look
        return first.asked

    def _look_at_followed(self, task: Task, state: str, asked: datetime) -> None:
        settled = task.since + seconds(SETTLE)
        if state == "gone":
            self._die(task, "resource_gone")
        elif state == "running":
            task.refusals = 0
            if task.status == "unknown":
                self._follow(task, "retrying", self.now, self.now + seconds(CHECK_AFTER))
            else:
                self._later(task)
        elif state == "missing" and task.status == "retrying":
            self._later(task)
        elif asked < settled and (state == "missing" or not self._is_news(task)):
            task.due = (max(settled, self.now),) * 2
        elif state == "succeeded":
            self._succeed(task)
        elif task.refusals:
            task.errors += 1
            missing = state == "missing"
            self._again(task, "failed" if missing else state, "denied" if missing else "disputed")
        elif state == "missing":
            self._fail(task, "failed", self.at())
        else:
            self._again(task, state, "failed")

    def _later(self, task: Task) -> None:
        if self._timed_out(task):
            self._expire(task)
        else:
            age = (self.now - task.since).total_seconds()
            task.due = self.at(min(max(CHECK_AFTER, age), CHECK_MAX))

    def _is_news(self, task: Task) -> bool:
        """Whether what the last check said cannot be the state from before the retry."""
        last = task.results[-1]
        ours = [look for look in task.results if look.number == last.number]
        before = next((look for look in reversed(task.results) if look.number != last.number), None)
        if any(look.state == "running" for look in ours):
            return True
        if self.spec(task).whole_and_part:
            return False  # a run of the whole changes the part, and the other way round
        if before is not None and ours[0].since - before.asked > seconds(SETTLE):
            return False  # somebody else may have run it since
        if before is None:
            # Added because it had failed; a later failure says nothing of what an earlier retry brought.
            return last.state == "succeeded" and task.spent <= 1
        if before.state in ("running", "gone", "missing"):
            return last.state == "succeeded"
        return last.state != before.state or (last.mark != before.mark and "" not in (last.mark, before.mark))
