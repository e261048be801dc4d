"""Standstills: how long an account stood still since a moment, whatever the order in which that was noticed."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from redrive.models.ledger import standstills
from redrive.models.ledger.standstills import note, stood
from redrive.models.sql.tables import standstills as table
from redrive.models.states import Operation
from tests.support.world import START, World

BOTH = tuple(Operation)
RETRY, CHECK = Operation.RETRY, Operation.CHECK


def minute(n: float) -> datetime:
    return START + timedelta(minutes=n)


def noted(world: World, operation: Operation, since: float, until: float, account: str = "phones") -> None:
    with world.begin() as t:
        note(t, account, operation, minute(since), minute(until))


def minutes(world: World, since: float, operations: tuple[Operation, ...] = BOTH, account: str = "phones") -> float:
    with world.database.reading() as t:
        return stood(t, account, operations, minute(since)).total_seconds() / 60


def rows(world: World) -> int:
    with world.database.reading() as t:
        return int(t.execute(select(func.count()).select_from(table)).scalar_one())


def test_only_what_lies_behind_the_moment_counts(world: World) -> None:
    world.clock.now = minute(100)
    noted(world, RETRY, 10, 20)
    noted(world, RETRY, 40, 70)
    noted(world, RETRY, 0, 90, account="desktops")
    assert [minutes(world, since) for since in (0, 15, 20, 50, 70, 99)] == [40, 35, 30, 20, 0, 0]


def test_operations_that_stand_still_together_count_once(world: World) -> None:
    world.clock.now = minute(100)
    noted(world, RETRY, 10, 30)
    noted(world, CHECK, 20, 50)
    assert [minutes(world, 0, each) for each in ((RETRY,), (CHECK,), BOTH, ())] == [20, 30, 40, 0]


def test_what_touches_is_one_interval(world: World) -> None:
    """Noticed pass by pass, a long standstill is one row; a gap of more than seconds makes another."""
    world.clock.now = minute(1000)
    for n in range(100):
        noted(world, RETRY, n, n + 1.0)
    noted(world, RETRY, 100 + 4 / 60, 101)
    assert rows(world) == 1
    noted(world, RETRY, 101.5, 102)
    noted(world, CHECK, 102, 103)
    assert rows(world) == 3
    assert minutes(world, 0) == pytest.approx(102.5)


def test_the_future_does_not_count(world: World) -> None:
    """A clock that went back: what was noted as until later has lasted until now at most."""
    world.clock.now = minute(60)
    noted(world, RETRY, 0, 60)
    world.clock.now = minute(30)
    assert minutes(world, 0) == 30
    noted(world, CHECK, 20, 500)
    assert minutes(world, 0, (CHECK,)) == 10
    noted(world, CHECK, 29, 29)
    noted(world, CHECK, 31, 40)
    assert minutes(world, 0, (CHECK,)) == 10


def test_rows_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many the oldest are folded, their length kept; what is older than any task is forgotten."""
    monkeypatch.setattr(standstills, "MOST", 10)
    world.clock.now = minute(10_000)
    for n in range(50):
        noted(world, RETRY, 10 * n, 10 * n + 2)
    assert rows(world) == 10
    assert minutes(world, 0) == 100
    assert minutes(world, 450) == 10
    world.clock.forward(401 * 86_400)
    with world.begin() as t:
        note(t, "phones", RETRY, t.now - timedelta(minutes=5), t.now)
    assert rows(world) == 1


def test_the_schema_before_remembers_none(world: World) -> None:
    world.clock.now = minute(100)
    world.database.level = 1
    noted(world, RETRY, 10, 20)
    assert minutes(world, 0) == 0
    assert rows(world) == 0


spans = st.lists(st.tuples(st.sampled_from(BOTH), st.integers(0, 99), st.integers(1, 40)), max_size=12)


@settings(
    max_examples=40,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(spans=spans, since=st.integers(0, 120))
def test_it_is_the_union_of_all_that_was_noted(
    world: World, spans: list[tuple[Operation, int, int]], since: int
) -> None:
    """In minutes that do not touch: each of them counts once."""
    world.clock.now = minute(120)
    with world.begin() as t:
        t.execute(delete(table))
    for operation, first, length in spans:
        noted(world, operation, first, first + length)
    still = {m for _, first, length in spans for m in range(first, min(first + length, 120)) if m >= since}
    assert minutes(world, since) == pytest.approx(len(still))
