"""What Flower believes of the events on the broker: anybody who can write there can send one."""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from redrive.models import jobs

Event = Mapping[str, Any]

MOST_WORKERS = 1000
"""Names of workers that are kept; each is a row, and a few lines of ``/metrics``."""

_LONGEST = 20_000
_NUMBERS = frozenset((
    "timestamp", "local_received", "clock", "pid", "freq", "active", "processed", "utcoffset", "runtime", "retries",
))  # fmt: skip
_WORKERS = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
_TASKS = frozenset(f"task-{what}" for what in ("sent", "received", "started", "succeeded", "failed", "revoked"))


MOST_QUEUES = 100
"""Names of queues that are kept."""


def sieve(take: Callable[[Event], None], queues: set[str]) -> Callable[[Event], None]:
    """Pass on the events that a worker or scheduler of ours may have sent.

    Args:
        take: where they go.
        queues: grows by the names of those into which batches are sent, whether a worker takes them or not.
    """
    workers: set[str] = set()

    def on_event(event: Event) -> None:
        if not is_plausible(event):
            return
        if event["hostname"] not in workers:
            if len(workers) >= MOST_WORKERS:
                return
            workers.add(event["hostname"])
        queue = event.get("queue")
        if isinstance(queue, str) and queue.startswith("redrive.") and len(queues) < MOST_QUEUES:
            queues.add(queue)
        take(judged(event))

    return on_event


_UNUSABLE = frozenset({"blocked", "deferred", "stale", "throttled", "unknown", "unreadable", "unsent"})
"""What is counted where the provider answered nothing that could be used."""


def judged(event: Event) -> Event:
    """A job's end as people want to see it: it has failed where nothing usable came back for any of its tasks.

    Celery calls it a success, since the answers are recorded.
    """
    if event["type"] != "task-succeeded":
        return event
    came = set(re.findall(r"'(\w+)': \d+", str(event.get("result"))))
    if not came or came - _UNUSABLE:
        return event
    return {**event, "type": "task-failed", "exception": f"no usable answer: {event['result']}"}


def is_plausible(event: object) -> bool:
    """Whether every part of an event is of the kind that it is elsewhere taken for."""
    if not isinstance(event, Mapping) or not _is_text(event.get("hostname")) or not event["hostname"].isprintable():
        return False
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in _WORKERS | _TASKS:
        return False
    if kind in _TASKS and not (_is_text(event.get("uuid")) and event.get("name") in (None, *_JOBS)):
        return False
    return all(_is_right(str(name), value) for name, value in event.items())


_JOBS = (jobs.RETRY, jobs.CHECK, jobs.REQUEST)


def _is_right(name: str, value: object) -> bool:
    if value is None:
        return True
    if name in _NUMBERS:
        return _is_number(value)
    if name == "loadavg":
        return isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))  # noqa: PLR2004 - 1, 5 and 15 minutes
    return isinstance(value, bool) or _is_number(value) or (isinstance(value, str) and len(value) <= _LONGEST)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and isfinite(value)  # noqa: PLR2004 - beyond any moment


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= jobs.LONGEST_NAME
