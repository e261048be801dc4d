"""Every row of the table: the answer on the wire, the rows it leaves, what people are told, and the next call."""

from pathlib import Path

import pytest

from redrive.models.states import Status
from redrive.worker.loop import EventLoop
from tests.faults.everybodys import EVERYBODYS, THOROUGH
from tests.faults.house import House, house
from tests.faults.provider import EXECUTE, QUERY, RECORDS, RESTART, RESULT, REVIEW, Provider
from tests.faults.rows import ONE, Looked, Over, Paused, Retried, Row
from tests.faults.their_own import THEIR_OWN

TABLE = [*EVERYBODYS, *THEIR_OWN]
DATABASES = ("postgresql", "sqlite")

RETRY_PATH = {"phones": RESTART, "desktops": EXECUTE, "reviews": REVIEW}
CHECK_PATH = {"phones": QUERY, "desktops": RECORDS, "reviews": RESULT}

SPENT = {"accepted": 1, "unknown": 1, "already": 0, "refused": 0, "throttled": 0, "blocked": 0, "deferred": 0}
"""What an attempt costs its task."""

A_MOMENT = 3.0
"""A claim looks this far ahead for a path to be free; the call leaves at its moment all the same."""
LONG = 30 * 86_400


def test_the_table_has_no_row_twice() -> None:
    assert len({row.fault for row in TABLE}) == len(TABLE)


def rows(nth: int) -> list[Row]:
    """The whole table, or every other row: the rest runs on the other database, and all rows are alike there."""
    return TABLE if THOROUGH else TABLE[nth::2]


@pytest.mark.parametrize(
    ("database", "row"),
    [pytest.param(name, row, id=f"{name}-{row}") for nth, name in enumerate(DATABASES) for row in rows(nth)],
)
def test_a_fault(
    database: str, row: Row, provider: Provider, loop: EventLoop, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What the table says."""
    urls, shared = {row.account: provider.server.http}, request.getfixturevalue(database)
    with house(shared, loop, tmp_path, urls, timeout_seconds=row.timeout_seconds) as ours:
        meets(row, provider, ours)


def meets(row: Row, provider: Provider, ours: House) -> None:
    """The first retry of a task meets the fault; a neighbour that runs must not move."""
    task_id = ours.world.add(ONE, ours.names[row.account])
    beside = ours.world.add("2", ours.names[row.account], status=Status.RUNNING)
    before = ours.world.task(beside)
    provider.next.append(row.answer)
    ours.step()
    assert provider.calls() == [RETRY_PATH[row.account]]
    assert stands(ours, task_id) == (row.becomes, [row.outcome], SPENT[row.outcome])
    told = ours.words(task_id)
    assert [words for words in row.words if words not in told] == [], told
    follows(row, ours, provider, task_id)
    assert ours.world.task(beside) == before


def stands(ours: House, task_id: int) -> tuple[str, list[str], int]:
    """The task's status, its attempts and what they cost it."""
    task = ours.world.task(task_id)
    status = f"{task.status} ({task.dead_reason})" if task.dead_reason else str(task.status)
    return status, ours.outcomes(task_id), task.spent


def follows(row: Row, ours: House, provider: Provider, task_id: int) -> None:
    """What the row says comes next, at its moment and not before it."""
    retry, check, name = RETRY_PATH[row.account], CHECK_PATH[row.account], ours.names[row.account]
    match row.next:
        case Retried(seconds):
            assert waits_on(ours, retry, name) == seconds
            assert calls_after(ours, provider, seconds) == [retry]
            assert ours.outcomes(task_id) == [row.outcome, "accepted"]
        case Looked(seconds, path_waits):
            assert waits_on(ours, retry, name) == path_waits
            assert calls_after(ours, provider, seconds) == [check]
        case Paused(cause, None):
            assert ours.world.account(name)["paused_cause"] == cause
            assert quiet_for(ours, provider)
            ours.world.resume(name)
            assert calls_after(ours, provider, 0) == [retry]
        case Paused(cause, seconds):
            assert ours.world.account(name)["paused_cause"] == cause
            assert calls_after(ours, provider, seconds or 0) == [retry]
            assert ours.world.account(name)["paused_cause"] is None, "the probe went through"
        case Over():
            assert quiet_for(ours, provider)


def waits_on(ours: House, path: str, group: str) -> float | None:
    """How long the path is blocked from now on."""
    until = ours.world.limit(path, group)["blocked_until"]
    return None if until is None else (until - ours.world.clock.now).total_seconds()


def calls_after(ours: House, provider: Provider, seconds: float) -> list[str]:
    """The calls of the pass at that moment; a pass a moment before makes none."""
    known = len(provider.asked)
    if seconds > A_MOMENT:
        ours.forward(seconds - A_MOMENT)
        ours.step()
        assert len(provider.asked) == known, "too early"
        seconds = A_MOMENT
    ours.forward(seconds)
    ours.step()
    return provider.calls()[known:]


def quiet_for(ours: House, provider: Provider, seconds: float = LONG) -> bool:
    """Whether nothing is called, however late it is."""
    known = len(provider.asked)
    ours.forward(seconds)
    ours.step()
    return len(provider.asked) == known
