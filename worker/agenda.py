"""What a batch has still to send: the calls that the provider plans for its tasks."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from redrive.models.ledger import LOCAL, Group, Permit, Work
from redrive.models.task import Task

from .providers.base import Call, Plan, TaskRef
from .sender import Sender


@dataclass(slots=True)
class Agenda:
    """The calls of one batch that nobody has opened yet.

    Attributes:
        groups: those calls, in order.
    """

    groups: deque[Group]
    _planned: dict[tuple[int, ...], Call]

    @classmethod
    def of(cls, work: Work, sender: Sender) -> "Agenda":
        """All calls of a batch. What the provider's own rules refuse needs none, and is answered first or last."""
        plan = sender.plan(work.operation, [ref(task) for task in work.tasks])
        planned = {tuple(task.id for task in call.tasks): call for call in plan.calls}
        groups = deque(Group(call.limit_path, ids) for ids, call in planned.items())
        if plan.refused:
            groups.append(Group(LOCAL, tuple(plan.refused)))
        return cls(groups, planned)

    def next(self, number: int) -> list[Group]:
        """The next so many calls."""
        return [group for group, _ in zip(self.groups, range(number), strict=False)]

    def done(self, granted: Iterable[Group]) -> None:
        """Forget calls that are opened, or of which no task is left."""
        gone = {*granted}
        self.groups = deque(group for group in self.groups if group not in gone)

    def plan(self, permit: Permit) -> Plan | None:
        """The call as it was planned; None when some of its tasks have left the batch since."""
        call = self._planned.pop(tuple(task.id for task in permit.tasks), None)
        return Plan((call,)) if call is not None else None


def ref(task: Task) -> TaskRef:
    """The task as providers know it."""
    # A row from before there were rules may hold a list, or text.
    params = task.params if isinstance(task.params, dict) else {}
    return TaskRef(task.id, task.kind, task.external_id, task.sub_id, params, task.origin, task.provider_ref)
