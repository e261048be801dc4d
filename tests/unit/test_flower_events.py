"""Flower believes what our processes send, and nothing that would break its pages."""

from typing import Any

import pytest

from redrive import flower_events
from redrive.flower_events import Event, is_plausible, sieve

HEARTBEAT: dict[str, Any] = {
    "type": "worker-heartbeat", "hostname": "redrive-7@host", "timestamp": 1.5, "local_received": 1.6, "clock": 4,
    "pid": 7, "utcoffset": 0, "freq": 2.0, "active": 1, "processed": 9, "loadavg": [0.1, 0.2, 0.3],
    "sw_ident": "py-celery", "sw_ver": "5.7.0", "sw_sys": "Linux",
}  # fmt: skip
RECEIVED: dict[str, Any] = {
    "type": "task-received", "hostname": "redrive-7@host", "timestamp": 1.5, "uuid": "a", "name": "redrive.retry",
    "args": "[]", "kwargs": "{'size': 1}", "retries": 0, "eta": None, "expires": None, "root_id": "a", "clock": 1,
}  # fmt: skip


@pytest.mark.parametrize("event", [HEARTBEAT, RECEIVED, {**RECEIVED, "type": "task-succeeded", "runtime": 0.1}])
def test_our_own_events_are_believed(event: dict[str, Any]) -> None:
    assert is_plausible(event)


SUCCEEDED: dict[str, Any] = {
    "type": "task-succeeded", "hostname": "redrive-7@host", "timestamp": 1.5, "uuid": "a", "runtime": 0.1, "clock": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("result", "end"),
    [
        ("{'accepted': 94, 'refused': 2, 'unknown': 1}", "task-succeeded"),
        ("{'throttled': 5, 'unsent': 48}", "task-failed"),
        ("{'unknown': 100}", "task-failed"),
        ("{'blocked': 1}", "task-failed"),
        ("{'refused': 3}", "task-succeeded"),
        ("{'running': 3, 'unreadable': 1}", "task-succeeded"),
        ("{'stale': 1}", "task-failed"),
        ("{'deferred': 7, 'unkn...", "task-failed"),
        ("{'asked': 3, 'due': 1}", "task-succeeded"),
        ("{}", "task-succeeded"),
        ("None", "task-succeeded"),
        (None, "task-succeeded"),
    ],
)
def test_a_batch_without_a_usable_answer_has_failed(result: str | None, end: str) -> None:
    """Red, counted and found as such, with what came of it in words; all others are as they were."""
    event = {**SUCCEEDED, "result": result}
    taken: list[Event] = []
    sieve(taken.append, set())(event)
    (seen,) = taken
    assert seen["type"] == end
    assert seen == event if end == "task-succeeded" else seen["exception"] == f"no usable answer: {result}"


def test_queues_are_remembered_that_batches_are_sent_to() -> None:
    """Whether a worker takes them or not; not those of others, and not any number of them."""
    queues: set[str] = set()
    see = sieve(lambda _: None, queues)
    sent = {**RECEIVED, "type": "task-sent"}
    for queue in ("redrive.shop.geelark", "celery", "", 5, None, "redrive.shop.docflow"):
        see({**sent, "queue": queue})
    see({**sent, "queue": "redrive.forged", "name": "somebody.elses"})
    assert queues == {"redrive.shop.geelark", "redrive.shop.docflow"}
    for n in range(2 * flower_events.MOST_QUEUES):
        see({**sent, "queue": f"redrive.{n}"})
    assert len(queues) == flower_events.MOST_QUEUES


@pytest.mark.parametrize("event", [HEARTBEAT, RECEIVED])
@pytest.mark.parametrize("strange", [[], {}, "x" * 30_000, float("nan"), float("inf"), 10**400, [[1]]])
def test_an_event_with_one_strange_part_is_not(event: dict[str, Any], strange: object) -> None:
    for name in event:
        assert not is_plausible({**event, name: strange}), name


@pytest.mark.parametrize(
    "event",
    [
        None, 5, [], {}, {"type": "worker-online"}, {**HEARTBEAT, "active": "x"}, {**HEARTBEAT, "active": True},
        {**HEARTBEAT, "hostname": "a\nb"}, {**HEARTBEAT, "type": "worker-exploded"}, {**RECEIVED, "uuid": None},
        {**RECEIVED, "name": "somebody.elses"}, {**HEARTBEAT, "loadavg": ["x"]}, {**HEARTBEAT, "loadavg": [1] * 9},
    ],
)  # fmt: skip
def test_other_events_are_not(event: object) -> None:
    assert not is_plausible(event)


def test_only_so_many_workers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a row of a page and some lines of its metrics; those that are known go on."""
    monkeypatch.setattr(flower_events, "MOST_WORKERS", 3)
    taken: list[Any] = []
    take = sieve(taken.append, set())
    for number in range(10):
        take({**HEARTBEAT, "hostname": f"forged-{number}"})
    take({**HEARTBEAT, "hostname": "forged-0"})
    assert [event["hostname"] for event in taken] == ["forged-0", "forged-1", "forged-2", "forged-0"]
