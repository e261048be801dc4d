"""Every task the sandbox was asked about, and the one way a retry reaches it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .config import SandboxConfig
from .exchange import ServedCall
from .limits import Over, Rate
from .script import parse, rule_ids
from .strange import delete
from .task import UNDER_WAY, RunState, SandboxTask, TaskView
from .watch import Violation, Watch


@dataclass(slots=True)
class World:
    """Tasks by provider and sort, made at first sight from the script in their id.

    Attributes:
        unreadable: ids of tasks that are shown in words that no provider documents.
    """

    config: SandboxConfig
    watch: Watch = field(default_factory=Watch)
    tasks: dict[tuple[str, str], dict[str, SandboxTask]] = field(default_factory=lambda: defaultdict(dict))
    unreadable: set[str] = field(default_factory=set)

    def task(self, provider: str, sort: str, external_id: str, now: float, *, script_of: str = "") -> SandboxTask:
        """The task of that id. ``script_of``: whose id carries its script, where its own does not."""
        known = self.tasks[provider, sort]
        task = known.get(external_id)
        if task is None:
            task = known[external_id] = SandboxTask.seen(provider, external_id, parse(script_of or external_id), now)
        return task

    def find(self, external_id: str, now: float) -> list[dict[str, Any]]:
        """What was asked of the task, and of a review's rules, with that id; empty when never asked about."""
        found = ((sort, known.get(external_id)) for sort, known in list(self.tasks.items()))
        return [self._told(*sort, task, now) for sort, task in found if task is not None]

    def delete(self, external_id: str) -> None:
        """Whatever has this id, and the rules of a review, is gone; what was never asked about is not."""
        for known in self.tasks.values():
            for id_ in {external_id, *rule_ids(external_id)} & known.keys():
                delete(known[id_])

    def _told(self, provider: str, sort: str, task: SandboxTask, now: float) -> dict[str, Any]:
        return {
            "provider": provider,
            "kind": sort,
            "state": self.state(task, now).value,
            "runs": task.runs,
            "accepted": task.accepted,
            "asked": task.asked,
            "refused": task.refused,
            "unanswered": task.unanswered,
        }

    def state(self, task: SandboxTask, now: float) -> RunState:
        """Where the task truly stands."""
        return task.state(now, self.config.run_seconds)

    def under_way(self, task: SandboxTask, now: float) -> bool:
        """Whether a run of the task has not ended."""
        return self.state(task, now) in UNDER_WAY

    def view(self, call: ServedCall, task: SandboxTask) -> TaskView:
        """What a status call shows: what was before, while the provider lags or a fault says so."""
        lags = call.stale or call.now - task.starts[-1] < self.config.settle_lag_seconds
        return task.past(task.runs - 1) if lags and task.redone else task.view(call.now, self.config.run_seconds)

    def retry(
        self,
        call: ServedCall,
        task: SandboxTask,
        *,
        refused: bool,
        cap: int | None = None,
        also: Sequence[SandboxTask] = (),
    ) -> None:
        """Take or refuse a retry, having noted whatever about it should never have happened.

        A refusal tells its caller that nothing was spent, so only what was accepted or left without a readable
        answer counts towards ``cap``. ``also`` are tasks that must be at rest as well.
        """
        self._notice(call, task, cap, (task, *also))
        task.unanswered += 1
        call.touched.append(task)
        task.asked += call.doubtful or (call.applies and not refused)
        self.watch.doubtful[task.provider] += call.doubtful
        if call.applies and refused:
            task.refused += 1
            self.watch.refused[task.provider] += 1
        elif call.applies:
            task.accepted += 1
            self.watch.accepted[task.provider] += 1
            task.start(call.now)

    def _notice(self, call: ServedCall, task: SandboxTask, cap: int | None, concerned: Sequence[SandboxTask]) -> None:
        if any(one.unanswered for one in concerned):
            self.watch.violation(Violation.OVERLAPPING, task.name)
        if cap is not None and task.asked >= cap:
            self.watch.violation(Violation.OVER_LIMIT, f"{task.name}: asked {task.asked} times before")
        if any(one.redone and self.under_way(one, call.now) for one in concerned):
            self.watch.violation(Violation.WHILE_RUNNING, f"{task.name}: run {task.runs}")
        if self.state(task, call.now) is RunState.SUCCEEDED:
            self.watch.retried_succeeded[task.provider] += 1

    def count(self, path: str, rate: Rate, now: float) -> Over | None:
        """Count a call against its path's rate."""
        over = rate.count(now)
        match over:
            case None:
                pass
            case Over.LOCK:
                self.watch.violation(Violation.WHILE_LOCKED, path)
            case _:
                self.watch.violation(Violation.OVER_RATE, f"{path}: {over.value}")
        return over
