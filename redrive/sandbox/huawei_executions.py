"""The ids of Huawei's executions and records: which task, which run of it, which of its records.

Whether a retry answers the old task id or a new one is not published, so both can be had. A new one is ``t2-ID`` for
the second run of the task ID and ``r2-ID`` for that of the record ID; both lead back to ID. The records of a task are
its id with ``.1`` to ``.9``; a record that is a task of its own has one more under each new id.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal, Self

from .task import SandboxTask

Sort = Literal["task", "record"]

_SORTS: Final[dict[str | None, Sort]] = {"t": "task", "r": "record"}
_ID = re.compile(r"(?:(?P<sort>[tr])(?P<run>\d{1,6})-)?(?P<root>.+?)(?:\.(?P<part>[1-9]))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """An id taken apart. ``run`` is 0 where it names none: the task's own."""

    sort: Sort
    root: str
    run: int = 0

    @classmethod
    def read(cls, text: str, sort: Sort) -> Self:
        """Any id that is not empty; ``sort`` is what it is of when it does not say so itself."""
        found = _ID.fullmatch(text)
        if found is None:
            return cls(sort, text)
        named = "task" if found["part"] else _SORTS.get(found["sort"], sort)
        return cls(named, found["root"], int(found["run"] or 0))


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of a task or of a record, and the ids it goes under."""

    sort: Sort
    task: SandboxTask
    run: int

    @property
    def own(self) -> bool:
        """Whether it is the run that was there before our caller asked for any."""
        return self.run == self.task.first_run

    @property
    def task_id(self) -> str:
        """What a retry answers and records name as their ``script_task_id``."""
        root = self.task.external_id
        return root if self.own and self.sort == "task" else f"{self.sort[0]}{self.run}-{root}"

    @property
    def failing(self) -> int:
        """How many of a task's records run again when it is retried: the first half of them."""
        return (self.task.script.parts + 1) // 2

    @property
    def record_ids(self) -> list[str]:
        """Its records: all in a task's own run, in a later one those that had failed."""
        if self.sort == "record":
            return [self.task.external_id if self.own else self.task_id]
        parts = self.task.script.parts if self.own else self.failing
        return [f"{self.task_id}.{part}" for part in range(1, parts + 1)]
