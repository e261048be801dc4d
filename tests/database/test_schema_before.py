"""What the ledger keeps of accounts works on the schema before, whose tables lack the newest columns."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import Index, inspect, text

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
from redrive.models.sql.tables import is_there, metadata
from redrive.models.states import Operation
from tests.support.world import ME, World


@pytest.fixture(params=[1, 2])
def old(database_url: str, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world whose database has nothing of what is newer than the first schema."""
    world = World(database_url)
    with world.begin() as t:
        for view in inspect(t.connection).get_view_names():
            t.execute(text(f"DROP VIEW {view}"))
        for table in metadata.sorted_tables:
            if table.info.get("since", 1) > request.param:
                t.execute(text(f"DROP TABLE {table.name}"))
                continue
            newer = {column.name for column in table.columns if not is_there(column, request.param)}
            for index in (index for index in table.indexes if any(name in f"{_words(index)}" for name in newer)):
                t.execute(text(f"DROP INDEX {index.name}"))
            for column in newer:
                t.execute(text(f"ALTER TABLE {table.name} DROP COLUMN {column}"))
    world.database.level = request.param
    yield world
    world.close()


def _words(index: Index) -> str:
    return f"{[column.name for column in index.columns]} {index.dialect_options['sqlite']['where']}"


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
        remembered = timedelta(hours=1) if t.level > 1 else timedelta()
        assert standstills.stood(t, "phones", tuple(Operation), t.now - timedelta(hours=2)) == remembered
        account = accounts.locked(t, "phones")
    assert account is not None
    assert account.limit_group == ("team" if old.database.level > 1 else None)
    assert old.claim().batch is not None


def test_everything_can_be_asked(old: World) -> None:
    """Nobody is missing where nobody can say that it runs, and nothing is set aside."""
    task_id = old.add("1")
    old.pause()
    Presence(old.database, "scheduler").beat()
    with old.database.reading() as t:
        overview = queries.overview(t, old.rules)
        if t.level == 1:
            assert queries.in_the_way(t, None, ["phones"]).missing == ()
        assert [each.of for each in queries.obstacles(t)] == ["phones"]
        for rules_of in (old.rules, {}, None):
            facts = queries.facts(t, task_id, rules_of)
            assert facts is not None
            assert "paused account phones" in " ".join(explain(facts).lines)
    if old.database.level == 1:
        assert (overview.processes, overview.missing, overview.set_aside) == (None, (), ())
    assert next(each.paused for each in overview.accounts if each.account == "phones") is not None
