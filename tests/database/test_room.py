"""Accounts that have due work and no room: a pass sees it of all of them at once, and a claim decides all the same."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random
from uuid import uuid4

import pytest
from sqlalchemy import insert, text, update

from redrive.models import ledger
from redrive.models.ledger.claims import Claim
from redrive.models.rules import GROUP_WIDE, Rules
from redrive.models.settings import Settings
from redrive.models.sql.tables import batches, limits
from redrive.models.states import Operation, Status
from redrive.scheduler.claiming import WORTH_A_SURVEY
from redrive.scheduler.service import Scheduler
from tests.database.test_scheduler import Broker
from tests.support.world import World

MANY = 3 * WORTH_A_SURVEY
INTERVAL = 30.0
LEASE = 120.0
PATHS = {Operation.RETRY: "/open/v1/task/restart", Operation.CHECK: "/open/v1/task/query"}

Arrange = Callable[[World, Rules, Operation], None]


def crowd(world: World, operation: Operation, number: int = MANY) -> list[str]:
    """So many accounts, each with a task that is due."""
    first = sum(name.startswith("c") for name in world.rules)
    names = [f"c{n:03}" for n in range(first, first + number)]
    for name in names:
        usual = world.rules["phones"]
        world.rules[name] = replace(usual, account=name, group=name, interval_seconds=INTERVAL, lease_seconds=LEASE)
    world.ensure()
    for name in names:
        task = world.add(account=name)
        if operation is Operation.CHECK:
            world.put(task, status="retrying", next="check", attempts=1, spent=1)
    return names


@pytest.fixture
def scheduler(world: World) -> Scheduler:
    return Scheduler(world.database, Broker(), Settings(), world.rules, Random(1))


# --- What leaves no room, and what leaves some ------------------------------------------------------------------------


def open_batches(number: int, size: int = 1) -> Arrange:
    def arrange(world: World, rules: Rules, operation: Operation) -> None:
        with world.begin() as t:
            for _ in range(number):
                t.execute(
                    insert(batches).values(
                        id=uuid4(), account=rules.account, provider=rules.provider, operation=operation.value,
                        task_ids=[], size=size, publishes=1, publish_at=t.now + timedelta(hours=1), created_at=t.now,
                    )
                )  # fmt: skip

    return arrange


def limit(path: str | None = None, **seconds: float) -> Arrange:
    """A row of the account's limit group; moments are so many seconds ahead."""

    def arrange(world: World, rules: Rules, operation: Operation) -> None:
        with world.begin() as t:
            values = {name: t.now + timedelta(seconds=each) for name, each in seconds.items()}
            more = {"blocked_seconds": seconds["blocked_until"]} if "blocked_until" in seconds else {}
            where = PATHS[operation] if path is None else path
            t.execute(insert(limits).values(group=rules.group, path=where, **values, **more))

    return arrange


def breaker(open_for: float, *, probed: bool = False) -> Arrange:
    def arrange(world: World, rules: Rules, operation: Operation) -> None:
        with world.begin() as t:
            until = t.now + timedelta(seconds=open_for)
            row = {"group": rules.account, "path": f"#{operation}", "failures": 5, "opens": 1, "open_until": until}
            t.execute(insert(limits).values(**row, probe=uuid4() if probed else None))

    return arrange


FULL: dict[str, Arrange] = {
    "as many batches as may be in flight": open_batches(4),
    "more of them, by an older setting": open_batches(7),
    "one batch with all that the pace allows": open_batches(1, size=300),
    "a penalty of its path": limit(blocked_until=3600.0),
    "a penalty of the whole group": limit(GROUP_WIDE, blocked_until=3600.0),
    "a penalty just longer than half a lease": limit(blocked_until=LEASE / 2 + 1),
    "permits taken for all of half a lease": limit(next_at=LEASE / 2 + INTERVAL - 1),
    "an open breaker": breaker(20.0),
    "a probe that is under way": breaker(-1.0, probed=True),
}
FREE: dict[str, Arrange] = {
    "nothing in its way": lambda *_: None,
    "one batch fewer than may be in flight": open_batches(3),
    "a batch with a little less than the pace allows": open_batches(1, size=299),
    "a penalty of half a lease": limit(blocked_until=LEASE / 2),
    "a penalty that is over": limit(blocked_until=-1.0),
    "a penalty of another path": limit("/open/v1/other", blocked_until=3600.0),
    "permits taken for a part of half a lease": limit(next_at=INTERVAL),
    "a breaker that waits for its probe": breaker(-1.0),
}
OTHERS: dict[str, Arrange] = {
    "batches of the other operation": lambda world, rules, operation: open_batches(4)(world, rules, other(operation)),
    "a penalty of the other operation's path": lambda world, rules, operation: limit(blocked_until=3600.0)(
        world, rules, other(operation)
    ),
    "an open breaker of the other operation": lambda world, rules, operation: breaker(20.0)(
        world, rules, other(operation)
    ),
}


def other(operation: Operation) -> Operation:
    return Operation.CHECK if operation is Operation.RETRY else Operation.RETRY


every_operation = pytest.mark.parametrize("operation", list(Operation))
full = pytest.mark.parametrize("arrange", FULL.values(), ids=FULL)
free = pytest.mark.parametrize("arrange", [*FREE.values(), *OTHERS.values()], ids=[*FREE, *OTHERS])


def hinted(world: World, names: list[str], operation: Operation) -> set[str]:
    """The accounts of which a pass believes that they have no room."""
    with world.database.reading() as t:
        seen = ledger.without_room(t, [(world.rules[name], operation) for name in names])
    assert {each for _, each in seen} <= {operation}
    return {name for name, _ in seen}


@every_operation
@full
def test_where_the_check_sees_no_room_a_claim_finds_none(world: World, arrange: Arrange, operation: Operation) -> None:
    """And the neighbours keep theirs."""
    names = crowd(world, operation, 3)
    arrange(world, world.rules[names[1]], operation)
    assert hinted(world, names, operation) == {names[1]}
    assert [world.claim(name, operation).batch is None for name in names] == [False, True, False]


@every_operation
@free
def test_where_a_claim_finds_room_the_check_sees_it(world: World, arrange: Arrange, operation: Operation) -> None:
    names = crowd(world, operation, 3)
    arrange(world, world.rules[names[1]], operation)
    assert hinted(world, names, operation) == set()
    assert world.claim(names[1], operation).batch is not None


def test_what_no_call_is_made_for_needs_no_room(world: World) -> None:
    """A check at a provider that cannot be asked is decided by its claim, whatever is in the way of calls."""
    blind = world.rules["blind"]
    open_batches(4)(world, blind, Operation.CHECK)
    limit("", blocked_until=3600.0)(world, blind, Operation.CHECK)
    assert hinted(world, ["blind"], Operation.CHECK) == set()


def test_accounts_of_a_group_share_its_paths(world: World) -> None:
    names = crowd(world, Operation.RETRY, 3)
    for name in names[:2]:
        world.rules[name] = replace(world.rules[name], group="team")
    limit(blocked_until=3600.0)(world, world.rules[names[0]], Operation.RETRY)
    assert hinted(world, names, Operation.RETRY) == set(names[:2])


# --- Passes ----------------------------------------------------------------------------------------------------------


def asked(statements: list[str]) -> list[str]:
    """Statements that ask for one account's row, as each claim does first."""
    return [each for each in statements if re.search(r"redrive_accounts\.name = [?%]", each)]


def looked(world: World, scheduler: Scheduler) -> int:
    """A pass; for how many accounts it asked."""
    with world.statements() as seen:
        scheduler.run_once()
    return len(asked(seen))


@every_operation
@full
def test_a_pass_asks_no_account_without_room(
    world: World, scheduler: Scheduler, arrange: Arrange, operation: Operation
) -> None:
    for name in crowd(world, operation):
        arrange(world, world.rules[name], operation)
    assert looked(world, scheduler) == 0


@every_operation
def test_one_with_room_among_many_without_is_claimed(world: World, scheduler: Scheduler, operation: Operation) -> None:
    names = crowd(world, operation)
    for name in names[1:]:
        open_batches(4)(world, world.rules[name], operation)
    assert scheduler.run_once().claimed == 1
    with world.database.reading() as t:
        held = {row.account: row.number for row in t.rows(text(COUNTED))}
    assert held == {name: 1 if name == names[0] else 4 for name in names}


COUNTED = "SELECT account, count(*) AS number FROM redrive_batches GROUP BY account"


@full
def test_room_that_appears_is_seen_by_the_next_pass(world: World, scheduler: Scheduler, arrange: Arrange) -> None:
    """A pass remembers nothing of the one before."""
    names = crowd(world, Operation.RETRY)
    for name in names:
        arrange(world, world.rules[name], Operation.RETRY)
    assert scheduler.run_once().claimed == 0
    with world.begin() as t:
        t.execute(text("DELETE FROM redrive_batches"))
        t.execute(text("DELETE FROM redrive_limits"))
    assert scheduler.run_once().claimed == len(names)


def test_a_check_that_is_old_by_the_claim_claims_nothing_too_much(world: World, scheduler: Scheduler) -> None:
    """Another scheduler fills the account between the two."""
    names = crowd(world, Operation.RETRY)
    publisher = scheduler.publisher
    assert isinstance(publisher, Broker)

    def fill(_: object) -> None:
        publisher.then = lambda _: None
        for name in names[1:]:
            open_batches(4)(world, world.rules[name], Operation.RETRY)

    publisher.then = fill
    assert scheduler.run_once().claimed == 1


@pytest.mark.parametrize(
    "arrange",
    [limit(next_at=7200.0), limit(GROUP_WIDE, blocked_until=90_000.0), breaker(7200.0)],
    ids=["a permit", "a penalty", "a breaker"],
)
def test_a_moment_that_nobody_believes_is_mended_by_a_pass(
    world: World, scheduler: Scheduler, arrange: Arrange
) -> None:
    """A clock that has gone back: were the account left out, the wait would begin anew in every pass."""
    names = crowd(world, Operation.RETRY)
    for name in names:
        arrange(world, world.rules[name], Operation.RETRY)
    with world.begin() as t:
        t.execute(update(limits).values(blocked_seconds=120.0))
    assert scheduler.run_once().claimed == 0
    world.clock.forward(660)
    assert scheduler.run_once().claimed == len(names)


UNREADABLE = {"postgresql": "infinity", "sqlite": "2026-99-99 99:99:99.999999"}


@pytest.mark.parametrize("column", ["next_at", "blocked_until", "open_until"])
@pytest.mark.parametrize("path", [PATHS[Operation.RETRY], "#retry"])
def test_one_row_that_cannot_be_read_keeps_only_its_own_account(
    world: World, scheduler: Scheduler, column: str, path: str
) -> None:
    names = crowd(world, Operation.RETRY)
    with world.begin() as t:
        values = f"'{names[3]}', '{path}', '{UNREADABLE[t.dialect]}'"
        t.execute(text(f'INSERT INTO redrive_limits ("group", path, {column}) VALUES ({values})'))
    assert scheduler.run_once().claimed == len(names) - 1


def test_a_few_accounts_are_claimed_for_without_a_check(world: World, scheduler: Scheduler) -> None:
    """It would cost as much as their claims."""
    crowd(world, Operation.RETRY, WORTH_A_SURVEY - 1)
    with world.statements() as seen:
        assert scheduler.run_once().claimed == WORTH_A_SURVEY - 1
    assert not [each for each in seen if "GROUP BY redrive_batches.account" in each]


# --- What rests ------------------------------------------------------------------------------------------------------


@pytest.fixture
def retried_when_unknown(world: World) -> list[str]:
    names = crowd(world, Operation.RETRY)
    for name in names:
        world.ruled(name, policy={"on_unknown": "retry"})
    return names


def test_revising_asks_no_account_in_which_nothing_rests(
    world: World, scheduler: Scheduler, retried_when_unknown: list[str]
) -> None:
    """However many would retry what is unknown."""
    with world.statements() as seen:
        assert scheduler._claims.revise() == 0
    assert len(seen) < WORTH_A_SURVEY
    assert isinstance(world.claim(retried_when_unknown[0]), Claim)
    assert world.tasks()[1].status is Status.IN_FLIGHT
