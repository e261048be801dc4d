"""Which calls to make for some tasks: the provider's plan, checked. A task that it cannot plan keeps no other back."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from redrive.models.outcome import CheckResult, Deferred, Outcome
from redrive.models.states import Operation

from .fit import MisfitError, fit
from .guard import ProviderFailedError, guarded
from .providers.base import Call, Plan, Provider, Request, TaskRef
from .reading import CHECK_RESULTS, RETRY_OUTCOMES
from .scrub import Secrets, scrub

NO_CALL = "the provider's code has no call for it"

Refuses = Callable[[Request], str]
"""Why a request cannot be built; empty when it can."""


def planned(
    provider: Provider, operation: Operation, tasks: Sequence[TaskRef], *, refuses: Refuses, secrets: Secrets
) -> tuple[Plan, list[str]]:
    """The plan, in which every task has a call or an answer, and what went wrong in the provider's code."""
    planner = _Planner(provider, operation, refuses, secrets)
    plan = planner.together(tasks)
    left = {task.id: planner.deferred(task) for task in _without(plan, tasks)}
    return Plan(plan.calls, {**plan.refused, **left}), planner.defects


@dataclass(slots=True)
class _Planner:
    provider: Provider
    operation: Operation
    refuses: Refuses
    secrets: Secrets
    defects: list[str] = field(default_factory=list)
    _why: dict[int, str] = field(default_factory=dict)

    def together(self, tasks: Sequence[TaskRef]) -> Plan:
        """A plan for all, or for all but those that have none alone."""
        plan = self._sound(tasks)
        missing = _without(plan, tasks)
        if not missing or len(tasks) == 1:
            return plan
        alone = {task.id: self._sound([task]) for task in missing}
        good = [task for task in missing if not _without(alone[task.id], [task])]
        again = self._sound(good) if good else Plan(())
        if _without(again, good):
            again = _joined(alone[task.id] for task in good)
        return _joined([plan, again])

    def deferred(self, task: TaskRef) -> Deferred:
        """It was not sent, and the reason is the task."""
        return Deferred(of_task=True, message=": ".join(filter(None, (NO_CALL, self._why.get(task.id, "")))))

    def _sound(self, tasks: Sequence[TaskRef]) -> Plan:
        """What is sound of the provider's plan."""
        ask = self.provider.retries if self.operation is Operation.RETRY else self.provider.checks
        try:
            return guarded(self._checked, guarded(ask, tasks), {task.id: task for task in tasks})
        except ProviderFailedError as error:
            self._note(tasks, str(error), error.kind)
            return Plan(())

    def _checked(self, plan: Plan, tasks: dict[int, TaskRef]) -> Plan:
        """The calls that can be made, each task in one of them; and the answers about the others."""
        open_ones, calls = dict(tasks), []
        for call in plan.calls:
            if self._is_call(call, open_ones):
                calls.append(call)
                for task in call.tasks:
                    del open_ones[task.id]
        answers = {id_: self._answer(answer) for id_, answer in dict(plan.refused).items() if id_ in open_ones}
        return Plan(tuple(calls), {id_: answer for id_, answer in answers.items() if answer is not None})

    def _is_call(self, call: Call, open_ones: dict[int, TaskRef]) -> bool:
        ids = [task.id for task in call.tasks]
        if not ids or len(set(ids)) < len(ids) or any(open_ones.get(task.id) != task for task in call.tasks):
            self.defects.append("a call about other tasks, or about one twice")
            return False
        if why := self.refuses(call.request):
            self._note(call.tasks, why, why)
            return False
        return bool(call.limit_path)

    def _answer(self, answer: Outcome | CheckResult) -> Outcome | CheckResult | None:
        try:
            return fit(answer, RETRY_OUTCOMES if self.operation is Operation.RETRY else CHECK_RESULTS, self.secrets)
        except MisfitError as error:
            self.defects.append(str(error))
            return None

    def _note(self, tasks: Iterable[TaskRef], words: str, why: str) -> None:
        self.defects.append(words)
        self._why |= {task.id: scrub(why, self.secrets) for task in tasks}


def _without(plan: Plan, tasks: Sequence[TaskRef]) -> list[TaskRef]:
    """The tasks that are not in the plan."""
    known = {task.id for call in plan.calls for task in call.tasks} | plan.refused.keys()
    return [task for task in tasks if task.id not in known]


def _joined(plans: Iterable[Plan]) -> Plan:
    calls: list[Call] = []
    refused: dict[int, Outcome | CheckResult] = {}
    for plan in plans:
        calls += plan.calls
        refused |= plan.refused
    return Plan(tuple(calls), refused)
