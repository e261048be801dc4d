"""What one account may have claimed where every task is a call: little, so that a lost worker holds little up."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from redrive.models.outcome import Accepted
from redrive.models.sql.tables import batches
from redrive.models.states import Operation
from tests.support.world import World

SECOND = 62 / 60
"""Between two calls of an account that may make sixty a minute."""


def size(world: World, operation: Operation = Operation.RETRY) -> int:
    batch = world.claim("desktops", operation).batch
    return 0 if batch is None else batch.size


@pytest.fixture
def paced(world: World) -> World:
    """Plenty to do, a call a second, one id in each."""
    world.ruled("desktops", interval_seconds=SECOND, batch_size=100, max_in_flight=4, lease_seconds=120)
    world.add_many([str(n) for n in range(200)], "desktops")
    return world


def test_a_claim_holds_ten_seconds_of_pace(paced: World) -> None:
    assert [size(paced), size(paced)] == [10, 0]


@pytest.mark.parametrize(("interval", "most"), [(0.5, 21), (6.2, 2), (30.0, 1), (600.0, 1)])
def test_a_claim_holds_a_call_at_least_whatever_the_pace(paced: World, interval: float, most: int) -> None:
    paced.ruled("desktops", interval_seconds=interval, batch_size=100)
    assert size(paced) == most


def test_the_next_claim_comes_while_the_last_calls_are_made(paced: World) -> None:
    """The account loses no pace between two batches."""
    paced.begun("desktops")
    paced.clock.forward(7)
    assert size(paced) == 0
    paced.clock.forward(2)
    assert size(paced) == 10


def test_a_lost_workers_account_goes_on_after_seconds(paced: World) -> None:
    """Its lease has a minute and three quarters to go."""
    lost = paced.begun("desktops")
    paced.clock.forward(11)
    again = paced.begun("desktops")
    assert not {task.id for task in lost.tasks} & {task.id for task in again.tasks}
    assert paced.open(again).permits


def test_what_nobody_begins_is_not_claimed_again_and_again(paced: World) -> None:
    """No worker runs: one claim waits with the broker, and the rest where it can be held and explained."""
    assert size(paced) == 10
    paced.clock.forward(3600)
    assert size(paced) == 0


def test_all_batches_count_against_max_in_flight(paced: World) -> None:
    """Workers that are lost one after the other hold up to so many batches."""
    paced.ruled("desktops", interval_seconds=SECOND, max_in_flight=2)
    for expected in (10, 10, 0):
        assert size(paced) == expected
        _begin_all(paced)
        paced.clock.forward(11)


def _begin_all(world: World) -> None:
    with world.begin() as t:
        queued = [row.id for row in t.rows(select(batches.c.id).where(batches.c.status == "queued"))]
    for batch_id in queued:
        world.begin_batch(batch_id)


def test_many_ids_a_call_are_claimed_as_ever(world: World) -> None:
    """Full calls are worth more than a short stop."""
    world.add_many([str(n) for n in range(250)])
    batch = world.claim("phones").batch
    assert batch is not None
    assert batch.size == 100


@pytest.mark.usefixtures("checks_together")
def test_checks_of_tasks_that_were_accepted_in_turn_are_claimed_together(world: World) -> None:
    """Accepted a tenth of a second apart, and looked at in few batches; none earlier than the policy says."""
    ids = world.add_many([str(n) for n in range(30)], "desktops")
    work = world.begun("desktops")
    for each in work.tasks:
        world.open(work, [each.id])
        world.clock.forward(0.1)
        world.answer(work, {each.id: Accepted()})
    accepted = {i: world.task(i).status_since for i in ids}
    due = {i: world.task(i).due_at for i in ids}
    waits = [(due[i] - accepted[i]).total_seconds() for i in ids]  # type: ignore[operator]
    assert min(waits) >= 30
    assert max(waits) < 33
    assert len(set(due.values())) <= 3


# --- checks that come along ------------------------------------------------------------------------------------------


def examined(world: World, account: str = "phones") -> set[int]:
    batch = world.claim(account, Operation.CHECK).batch
    return set() if batch is None else {int(i) for i in world.batch(batch.id)["task_ids"]}


def followed(world: World, account: str, *waits: float) -> list[int]:
    """Tasks that were accepted two minutes ago and wait for their checks: so long until then, half a minute in all."""
    ids = world.add_many([str(n) for n in range(len(waits))], account)
    for task_id, wait in zip(ids, waits, strict=True):
        due_at, since = world.clock.now + timedelta(seconds=wait), world.clock.now - timedelta(seconds=120)
        world.put(task_id, status="retrying", next="check", due_at=due_at, status_since=since)
        world.put(task_id, updated_at=due_at - timedelta(seconds=30))
    return ids


def test_a_check_call_with_room_takes_along_those_whose_wait_is_half_over(world: World) -> None:
    due, soon, half, later = followed(world, "phones", 0, 5, 15, 16)
    assert examined(world) == {due, soon, half}
    assert world.task(later).due_at == world.clock.now + timedelta(seconds=16)


def test_nothing_is_checked_early_by_itself(world: World) -> None:
    """What comes along needs a call that is made anyway."""
    followed(world, "phones", 1, 5, 15)
    assert examined(world) == set()


def test_what_another_batch_has_does_not_come_along(world: World) -> None:
    """Its moment is a lease away from its claim, which may be sooner than half of the wait that was before it."""
    first, *others = followed(world, "phones", 0, 40, 41)
    assert examined(world) == {first}
    for seconds in (40, 30):
        world.clock.forward(seconds)
        assert first not in examined(world)
        for task_id in others:
            world.put(task_id, due_at=world.clock.now, updated_at=world.clock.now)


def test_one_id_a_call_leaves_no_room(world: World) -> None:
    """Each that came along would cost a call of its own."""
    due, *_ = followed(world, "reviews", 0, 1, 2)
    assert examined(world, "reviews") == {due}


def test_what_has_not_settled_and_what_waits_for_a_retry_does_not_come_along(world: World) -> None:
    due, young, waiting, asked = followed(world, "phones", 0, 5, 5, 5)
    world.put(young, status_since=world.clock.now - timedelta(seconds=59))
    world.put(waiting, status="failed", next="retry")
    world.put(asked, status="failed", next="check")
    assert examined(world) == {due}


def test_a_full_call_takes_none_along(world: World) -> None:
    ids = followed(world, "phones", *[0.0] * 100, 1, 2, 3)
    assert examined(world) == set(ids[:100])
