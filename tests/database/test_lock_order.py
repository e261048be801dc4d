"""Everybody locks in one order, so that two transactions never wait for each other in a circle."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from redrive.models import ledger
from redrive.models.ledger import CallResult, accounts, permits
from redrive.models.ledger.rows import locked_by_ids
from redrive.models.outcome import Accepted, Already, Blocked, Cause, Refused, Throttled, Unknown
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import ME, World

ORDER = ["redrive_accounts", "redrive_batches", "redrive_limits", "redrive_tasks", "redrive_totals"]
"""As models/ledger/__init__.py has it."""

RESTART = "/open/v1/task/restart"

_LOCKS = (
    re.compile(r"\bFROM (redrive_\w+).*\bFOR (?:NO KEY )?UPDATE", re.DOTALL),
    re.compile(r"\AUPDATE (redrive_\w+)"),
    re.compile(r"\ADELETE FROM (redrive_\w+)"),
    re.compile(r"\AINSERT INTO (redrive_\w+).*ON CONFLICT.*DO UPDATE", re.DOTALL),
)


class Locks:
    """The tables locked so far in each open transaction, and every wait that comes too late."""

    def __init__(self) -> None:
        self.held: dict[int, list[str]] = {}
        self.wrong: list[str] = []

    def begin(self, connection: Connection) -> None:
        self.held[id(connection)] = []

    def execute(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        table = next((found[1] for each in _LOCKS if (found := each.search(statement))), None)
        if table not in ORDER:
            return
        held = self.held.setdefault(id(connection), [])
        later = [name for name in held if ORDER.index(name) > ORDER.index(table)]
        waits = "SKIP LOCKED" not in statement and table not in held
        if later and waits:
            self.wrong.append(f"{table} after {', '.join(later)}: {' '.join(statement.split())[:120]}")
        held.append(table)


@contextmanager
def watched(world: World) -> Iterator[Locks]:
    locks = Locks()
    event.listen(world.database.engine, "begin", locks.begin)
    event.listen(world.database.engine, "before_cursor_execute", locks.execute)
    yield locks
    event.remove(world.database.engine, "begin", locks.begin)
    event.remove(world.database.engine, "before_cursor_execute", locks.execute)


def told(world: World, ids: list[int]) -> list[CallResult]:
    answers = [
        Accepted(),
        Already(),
        Refused(reason=DeadReason.REFUSED),
        Unknown(),
        Throttled(),
        Blocked(cause=Cause.BALANCE),
    ]
    return [CallResult(RESTART, world.clock.now, {i: answers[n % len(answers)]}) for n, i in enumerate(ids)]


def whole_life(world: World) -> None:
    """Every writing door of the ledger, in turn."""
    ids = world.add_many([str(n) for n in range(12)])
    work = world.begun()
    world.open(work, ids[:6])
    world.advance(work, told(world, ids[:6]), world.groups(work, ids[6:8]), calm=False)
    world.finish(work)
    world.resume()
    world.clock.forward(700)
    lost = world.begun()
    world.open(lost, [task.id for task in lost.tasks][:2])
    world.clock.forward(world.rules["phones"].lease_seconds + 1)
    world.rescue(lost.id)
    world.claim("phones", Operation.CHECK)
    for what in ("hold", "release", "retry", "stop", "revive", "force"):
        world.act(what, *ids)
    for task_id in ids:
        world.report(task_id, Status.SUCCEEDED)
    world.pause()
    world.resume()
    with world.begin() as t:
        ledger.fold(t)
        ledger.pause(t, "phones", ME)


def test_everybody_locks_in_the_same_order(world: World) -> None:
    if world.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer and no row locks")
    with watched(world) as locks:
        whole_life(world)
    assert locks.wrong == []
    assert locks.held, "the test saw no transaction"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda _, t: (locked_by_ids(t, [1]), accounts.locked(t, "phones")),
        lambda world, t: (
            permits.paths_of(t, world.rules["phones"], lock=True),
            accounts.locked(t, "phones"),
        ),
    ],
)
def test_a_broken_order_is_seen(world: World, break_it: Callable[[World, Any], object]) -> None:
    """The test above would notice."""
    if world.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer and no row locks")
    world.add()
    with watched(world) as locks, world.begin() as t:
        break_it(world, t)
    assert locks.wrong
