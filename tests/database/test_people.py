"""Owners and operators: many tasks in one go, recorded, and told what could not be done."""

from datetime import timedelta

from sqlalchemy import select

from redrive.models import ledger
from redrive.models.ledger import NewTask
from redrive.models.sql.tables import actions
from redrive.models.states import Status
from tests.support.world import ME, World


def recorded(world: World) -> list[tuple[str, int | None, str, str]]:
    with world.database.reading() as t:
        rows = t.rows(select(actions).order_by(actions.c.id))
        return [(row.what, row.task_id, row.who, row.why) for row in rows]


def test_an_action_is_recorded_for_what_it_changed(world: World) -> None:
    """Who, what and why, a row per task; not for tasks it left alone, and none for ids that do not exist."""
    one, two = world.add_many("ab")
    world.act("hold", one)
    told = world.act("hold", one, two, 999)
    assert [(each.task.id, each.changed, each.hint) for each in told] == [(one, False, "held already"), (two, True, "")]
    assert recorded(world) == [("hold", one, ME.who, ME.why), ("hold", two, ME.who, ME.why)]


def test_tasks_of_an_unknown_account_are_left_alone(world: World) -> None:
    """Nobody knows their limits; whoever asks is told."""
    with world.begin() as t:
        (added,) = ledger.add(t, [NewTask(account="nobody", kind="", external_id="1")], world.rules)
    (told,) = world.act("retry", added.id)
    assert not told.changed
    assert "not configured" in told.hint
    assert world.claim().batch is None


def test_adding_again_answers_in_order_and_adds_nothing(world: World) -> None:
    """Ids in the order asked, whether new, known or twice in the same breath."""
    ids = world.add_many("cab")
    assert world.add_many("abc") == [ids[1], ids[2], ids[0]]
    new = [NewTask(account="phones", kind="", external_id=name) for name in ("x", "a", "x", "y")]
    with world.begin() as t:
        added = ledger.add(t, new, world.rules)
    assert added[0] == added[2]
    assert [each.new for each in added] == [True, False, True, True]
    assert len(world.tasks()) == 5


def test_an_old_report_is_told_so(world: World) -> None:
    task = world.add()
    told = world.report(task, Status.SUCCEEDED, at=world.clock.now - timedelta(seconds=1))
    assert not told.changed
    assert "older than what is known" in told.hint


def test_a_grant_counts_from_what_is_spent(world: World) -> None:
    """Where the limit was lowered below what is spent, one more retry is one more, and a round is a round."""
    forced, revived = world.add_many("ab", "desktops")
    for task in (forced, revived):
        world.put(task, attempts=5, spent=5)
    world.ruled("desktops", policy={"max_retries": 2})
    world.claim("desktops")
    world.act("force", forced)
    world.act("revive", revived)
    rules = world.rules["desktops"]
    assert [world.task(task).limit(rules) for task in (forced, revived)] == [6, 7]


def test_no_grant_goes_past_the_providers_cap(world: World) -> None:
    task = world.add()
    world.put(task, attempts=5, spent=5)
    world.claim()
    for what in ("force", "revive"):
        (told,) = world.act(what, task)
        assert not told.changed
        assert "takes 5 retries" in told.hint
    world.put(task, attempts=5, spent=4)
    world.act("revive", task)
    assert world.task(task).limit(world.rules["phones"]) == 5
