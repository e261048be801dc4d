"""Tasks and the calls about them: who shares a call, and who shares an outcome."""

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

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
