"""What the ledger keeps of accounts works on the schema before, whose tables lack the newest columns."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from redrive.models import ledger, queries
from redrive.models.explain import explain
from redrive.models.ledger import accounts, breaker, pace, permits, standstills
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Outcome,
    Reading,
    State,
    Throttled,
    Unknown,
    Unreadable,
)
from redrive.models.presence import Presence
from redrive.models.sql.tables import metadata
from redrive.models.states import Operation
from tests.support.world import ME, World


@pytest.fixture
def old(database_url: str) -> Iterator[World]:
    """A world whose database has nothing of what is newer than the first schema."""
    world = World(database_url)
    with world.begin() as t:
        for table in metadata.sorted_tables:
            if "since" in table.info:
                t.execute(text(f"DROP TABLE {table.name}"))
            else:
                for column in (column for column in table.columns if "since" in column.info):
                    t.execute(text(f"ALTER TABLE {table.name} DROP COLUMN {column.name}"))
    world.database.level = 1
    yield world
    world.close()


@pytest.mark.parametrize(
    "outcome",
    [
        Accepted(pace=0.05),
        Already(forbidden=True),
        Throttled(wait_seconds=90.0),
        Throttled(whole_account=True),
        Blocked(cause=Cause.BALANCE),
        Unknown(message="broken"),
        Unknown(answered=True, code="50000"),
    ],
)
def test_every_retry_is_recorded(old: World, outcome: Outcome) -> None:
    """And what it says of the account takes effect: nothing more is claimed but where it was good news."""
    ids = [old.add(str(n), "desktops") for n in range(5)]
    work = old.opened("desktops")
    for task_id in ids:
        old.answer(work, {task_id: outcome})
    old.finish(work)
    assert {old.attempts(task_id)[0]["outcome"] for task_id in ids} == {outcome.name}
    old.add("another", "desktops")
    old.clock.forward(0.1)
    assert (old.claim("desktops").batch is not None) == isinstance(outcome, Accepted)


@pytest.mark.parametrize("look", [Reading(state=State.RUNNING, pace=5.0), Unreadable(forbidden=True), Unknown()])
def test_every_check_is_recorded(old: World, look: CheckResult) -> None:
    old.add_many("abcde", "desktops")
    old.retried(Accepted(), "desktops")
    old.clock.forward(30)
    work = old.begun("desktops", Operation.CHECK)
    for task in work.tasks:
        old.look(work, {task.id: look})
    old.finish(work)
    with old.database.reading() as t:
        account, is_open = accounts.read(t, "desktops"), breaker.load(t, "desktops", Operation.CHECK).half_open
    assert account is not None
    assert (account.paused_at is not None, is_open) == (isinstance(look, Unreadable), isinstance(look, Unknown))


def test_people_and_schedulers_find_what_they_need(old: World) -> None:
    rules = old.rules["phones"]
    old.add("1")
    with old.begin() as t:
        assert ledger.ensure(t, {"phones": "geelark", "new": "geelark"}, {"phones": "team"}) == frozenset()
        permits.penalize(t, rules, [("/x", Throttled(wait_seconds=9.0))])
        ledger.pause(t, "phones", ME)
        assert not ledger.try_one(t, "phones", Operation.RETRY, ME)
        assert ledger.resume(t, "phones", ME, force=True)
        assert pace.shown(t, rules, Operation.RETRY) == pace.read(t, rules, Operation.RETRY)
        standstills.note(t, "phones", Operation.RETRY, t.now - timedelta(hours=1), t.now)
        assert standstills.stood(t, "phones", tuple(Operation), t.now - timedelta(hours=2)) == timedelta()
        account = accounts.locked(t, "phones")
    assert account is not None
    assert account.limit_group is None
    assert old.claim().batch is not None


def test_everything_can_be_asked(old: World) -> None:
    """Nobody is missing where nobody can say that it runs, and nothing is set aside."""
    task_id = old.add("1")
    old.pause()
    Presence(old.database, "scheduler").beat()
    with old.database.reading() as t:
        overview = queries.overview(t, old.rules)
        assert queries.in_the_way(t, None, ["phones"]).missing == ()
        assert [each.of for each in queries.obstacles(t)] == ["phones"]
        for rules_of in (old.rules, {}, None):
            facts = queries.facts(t, task_id, rules_of)
            assert facts is not None
            assert "paused account phones" in " ".join(explain(facts).lines)
    assert (overview.processes, overview.missing, overview.set_aside) == (None, (), ())
    assert next(each.paused for each in overview.accounts if each.account == "phones") is not None
