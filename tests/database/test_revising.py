"""What a setting left at rest is decided again when the setting changes, without anybody's help."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import delete, select

from redrive.models.errors import BadInput
from redrive.models.ledger import standstills
from redrive.models.lifecycle import Context
from redrive.models.outcome import Blocked, Cause, Deferred, Throttled, Unknown
from redrive.models.settings import Settings
from redrive.models.sql.tables import actions, batches, quarantine
from redrive.models.states import DeadReason, Operation, Status
from redrive.scheduler.service import Scheduler
from tests.database.test_isolation import quarantined
from tests.database.test_scheduler import Broker
from tests.support.world import World


@pytest.fixture
def scheduler(world: World) -> Scheduler:
    return Scheduler(world.database, Broker(), Settings(), world.rules, Random(1))


def revise(scheduler: Scheduler) -> None:
    """A pass, and the chores it would do every half minute."""
    scheduler._chores._next.clear()
    scheduler.run_once()


def test_canceled_tasks_wake_when_the_policy_retries_them(world: World, scheduler: Scheduler) -> None:
    world.ruled("phones", policy={"retry_canceled": False})
    ids = world.add_many(["1", "2"], status=Status.CANCELED)
    revise(scheduler)
    assert {world.task(i).status for i in ids} == {Status.CANCELED}
    assert {world.task(i).due_at for i in ids} == {None}
    world.ruled("phones", policy={"retry_canceled": True})
    revise(scheduler)
    assert {world.task(i).status for i in ids} == {Status.IN_FLIGHT}


def test_a_release_with_the_old_setting_beside_it_does_not_push_them_back(world: World, scheduler: Scheduler) -> None:
    """Rows at rest are claimed as they are: nobody makes them due for another process to lay to rest again."""
    world.ruled("phones", policy={"retry_canceled": False})
    task_id = world.add(status=Status.CANCELED)
    world.ruled("phones", policy={"retry_canceled": True})
    with world.statements() as seen:
        revise(scheduler)
    moved = [words for words in seen if words.startswith("UPDATE redrive_tasks")]
    assert len(moved) == 1
    assert world.task(task_id).status is Status.IN_FLIGHT


@pytest.mark.parametrize("held_by_operator", [False, True])
def test_unknown_tasks_that_were_held_go_on_when_the_policy_retries_them(
    world: World, scheduler: Scheduler, *, held_by_operator: bool
) -> None:
    """Those that an operator holds stay where they are."""
    world.ruled("blind", policy={"on_unknown": "hold"})
    task_id = world.add(account="blind", kind="task")
    work = world.opened("blind")
    world.answer(work, {task_id: Unknown(message="no answer")})
    world.finish(work)
    assert world.task(task_id).status is Status.HELD
    assert quarantined(world).keys() == {task_id}
    if held_by_operator:
        world.act("hold", task_id)
    revise(scheduler)
    assert world.task(task_id).status is Status.HELD
    world.ruled("blind", policy={"on_unknown": "retry"})
    revise(scheduler)
    assert (world.task(task_id).status is Status.HELD) == held_by_operator
    assert quarantined(world) == {}


def held_by_the_release_before(world: World, external_id: str = "1") -> int:
    """A task that ``on_unknown`` has held, and of which nobody wrote down why."""
    world.ruled("blind", policy={"on_unknown": "hold"})
    task_id = world.add(external_id, account="blind", kind="task")
    work = world.opened("blind")
    world.answer(work, {task_id: Unknown(message="no answer")})
    world.finish(work)
    with world.begin() as t:
        t.execute(delete(quarantine))
    return task_id


@pytest.mark.parametrize("before", [(), ("hold", "release"), ("hold", "retry")])
def test_what_the_release_before_held_goes_on_too(world: World, scheduler: Scheduler, before: tuple[str, ...]) -> None:
    """It is shown from the first pass on, whatever was done to it before, and released when the policy changes."""
    task_id = held_by_the_release_before(world)
    for what in before:
        world.act(what, task_id)
    if before:
        work = world.opened("blind")
        world.answer(work, {task_id: Unknown(message="no answer")})
        world.finish(work)
        with world.begin() as t:
            t.execute(delete(quarantine))
    scheduler.run_once()
    assert quarantined(world).keys() == {task_id}
    assert world.task(task_id).status is Status.HELD
    world.ruled("blind", policy={"on_unknown": "retry"})
    revise(scheduler)
    assert world.task(task_id).status is not Status.HELD


@pytest.mark.parametrize("adopted", [False, True])
def test_what_an_operator_holds_is_recorded_and_stays(world: World, scheduler: Scheduler, *, adopted: bool) -> None:
    """Also where Redrive had held it before; and where the operator's hold was only a wish."""
    ours = held_by_the_release_before(world)
    if adopted:
        scheduler.run_once()
    (told,) = world.act("hold", ours)
    assert (told.changed, told.hint) == (True, "")
    (again,) = world.act("hold", ours)
    assert (again.changed, again.hint) == (False, "held already")
    direct, wished = world.add("2", account="blind", kind="task"), world.add("3", account="blind", kind="task")
    work = world.opened("blind")
    world.act("hold", wished)
    world.answer(work, {direct: Deferred(message="busy"), wished: Unknown(message="no answer")})
    world.finish(work)
    world.act("hold", direct)
    world.ruled("blind", policy={"on_unknown": "retry"})
    revise(scheduler)
    assert {world.task(i).status for i in (ours, direct, wished)} == {Status.HELD}
    with world.database.reading() as t:
        done = t.rows(select(actions.c.task_id).where(actions.c.what == "hold").order_by(actions.c.id))
    assert [row.task_id for row in done] == [ours, wished, direct]


def test_a_provider_that_lost_its_status_call_leaves_nothing_behind(world: World, scheduler: Scheduler) -> None:
    task_id = world.accepted()
    blind = replace(world.rules["phones"].capabilities, check_ids=0)
    world.rules["phones"] = replace(world.rules["phones"], capabilities=blind)
    world.clock.forward(world.rules["phones"].policy.check_timeout_seconds + 3600)
    for _ in range(3):
        revise(scheduler)
        world.clock.forward(world.rules["phones"].policy.check_timeout_seconds)
    assert (world.task(task_id).status, world.task(task_id).dead_reason) == (Status.DEAD, DeadReason.EXPIRED)


def test_a_kind_that_its_provider_does_not_know_is_set_aside(world: World, scheduler: Scheduler) -> None:
    """Nobody sends it; its neighbours are claimed; an operator stops it, or adds it anew."""
    with world.begin() as t:
        t.connection.exec_driver_sql(
            "INSERT INTO redrive_tasks (account, kind, external_id, due_at) "
            "VALUES ('desktops', 'wat', '1', '2026-03-01 00:00:00.000000')"
        )
    good = world.add("2", account="desktops")
    revise(scheduler)
    (odd,) = quarantined(world)
    assert "'wat'" in quarantined(world)[odd]
    assert world.task(odd).status is Status.FAILED
    assert world.task(good).status is Status.IN_FLIGHT
    world.clock.forward(7200)
    revise(scheduler)
    assert world.task(odd).attempts == 0
    with pytest.raises(BadInput, match="has no kind 'wat'"):
        world.act("release", odd)
    world.act("stop", odd)
    assert world.task(odd).status is Status.DEAD


# --- ages on the account's own clock ---------------------------------------------------------------------------


def test_a_pause_of_days_makes_no_task_older(world: World) -> None:
    """The first check after it decides nothing by age, whatever it says."""
    ids = [world.accepted(str(n)) for n in range(5)]
    world.pause()
    world.clock.forward(26 * 3600)
    world.resume()
    work = world.begun("phones", Operation.CHECK)
    for task_id, look in zip(
        ids, (Throttled(), Blocked(cause=Cause.CREDENTIALS), Deferred(), Unknown(), None), strict=True
    ):
        if look is not None:
            world.look(work, {task_id: look})
    assert {world.task(i).status for i in ids} == {Status.RETRYING}


def test_workers_that_are_away_make_no_task_older(world: World, scheduler: Scheduler) -> None:
    """Checks that nobody made count no more than those nobody could make."""
    task_id = world.accepted()
    world.clock.forward(60)
    revise(scheduler)
    for _ in range(26):
        world.clock.forward(3600)
        revise(scheduler)
    with world.database.reading() as t:
        waiting = t.rows(select(batches.c.id).where(batches.c.status == "queued").order_by(batches.c.created_at))
    assert world.begin_batch(waiting[0].id) is not None
    with world.begin() as t:
        stood = standstills.stood(t, "phones", [Operation.CHECK], world.task(task_id).status_since)
    assert stood > timedelta(hours=20)


def test_an_outage_of_a_week_kills_nothing(world: World) -> None:
    """One task of a small account is every probe; the provider refuses connections all the time."""
    ids = world.add_many(["1", "2"])
    for _ in range(7 * 24):
        claim = world.claim("phones")
        if claim.batch is not None:
            work = world.begin_batch(claim.batch.id)
            assert work is not None
            mine = [task.id for task in work.tasks]
            world.open(work, mine)
            world.answer(work, dict.fromkeys(mine, Deferred(message="connection refused")))
            world.finish(work)
        world.clock.forward(3600)
    assert {world.task(i).status for i in ids} == {Status.FAILED}
    assert {world.task(i).spent for i in ids} == {0}
    assert max(world.task(i).errors for i in ids) == 0
    with world.begin() as t:
        context = Context(world.rules["phones"], t.now)
        assert context.now - world.task(ids[0]).round_at > timedelta(days=6)
