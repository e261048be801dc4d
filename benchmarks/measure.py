"""Measuring: CPU seconds and memory of process trees, medians."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from statistics import median, quantiles

import psutil


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU seconds that these processes and all below them have used, those that have ended among them too.

    Who waits for a child inherits its times, so that the living of a tree know of its dead.
    """
    total = 0.0
    for process in _trees(roots):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mb(root: int) -> float:
    """Resident memory of a process and all below it, in MB."""
    total = 0
    for process in _trees([root]):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total / 1e6


def threads(roots: Iterable[int]) -> int:
    """Threads of these processes and all below them."""
    total = 0
    for process in _trees(roots):
        with suppress(psutil.NoSuchProcess):
            total += process.num_threads()
    return total


def _trees(roots: Iterable[int]) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            top = psutil.Process(root)
            found |= {process.pid: process for process in (top, *top.children(recursive=True))}
    return list(found.values())


def machine_busy_seconds() -> float:
    """CPU seconds this machine was not idle, whoever used them."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


class Cores:
    """How many cores were used since it was made, on average; ``used`` tells the CPU seconds so far."""

    def __init__(self, used: Callable[[], float] = machine_busy_seconds) -> None:
        self._used = used
        self._began, self._before = time.monotonic(), used()

    def average(self) -> float:
        return max(0.0, (self._used() - self._before) / (time.monotonic() - self._began))


def p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]


__all__ = ["Cores", "cpu_seconds", "machine_busy_seconds", "median", "memory_mb", "p99", "threads"]
