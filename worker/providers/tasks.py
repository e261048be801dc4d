"""Tasks and the calls about them: who shares a call, and who shares an outcome."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from redrive.models.capabilities import Capabilities
from redrive.models.outcome import Deferred

from .base import TaskRef

T = TypeVar("T")


def grouped(tasks: Iterable[TaskRef], key: Callable[[TaskRef], Hashable]) -> list[tuple[TaskRef, ...]]:
    """Tasks with the same key together, in order: asking for one id twice could run it twice."""
    groups: dict[Hashable, list[TaskRef]] = {}
    for task in tasks:
        groups.setdefault(key(task), []).append(task)
    return [tuple(group) for group in groups.values()]


def each(tasks: Iterable[TaskRef], outcome: T) -> dict[int, T]:
    """The same for every task."""
    return {task.id: outcome for task in tasks}


def sorted_out(tasks: Sequence[TaskRef], why_not: Callable[[TaskRef], str]) -> tuple[list[TaskRef], dict[int, str]]:
    """The tasks that can be asked for, and why the others cannot."""
    hopeless = {task.id: why for task in tasks if (why := why_not(task))}
    return [task for task in tasks if task.id not in hopeless], hopeless


def of_known_kind(capabilities: Capabilities, tasks: Sequence[TaskRef]) -> tuple[list[TaskRef], dict[int, Deferred]]:
    """The tasks of a kind that the provider has, and what becomes of the others: a row may come past our client."""
    good, strange = sorted_out(tasks, lambda task: _strange(capabilities, task))
    return good, {id_: Deferred(message=why, of_task=True) for id_, why in strange.items()}


def _strange(capabilities: Capabilities, task: TaskRef) -> str:
    if capabilities.kind(task.kind):
        return ""
    known = " or ".join(repr(kind.name) for kind in capabilities.kinds)
    return f"kind {task.kind!r} is not known to {capabilities.provider}; correct it to {known}"
