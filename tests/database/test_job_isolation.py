"""A job goes on beside one of its tasks that nobody can read, or that somebody else holds."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from redrive.models.states import Status
from tests.database.test_isolation import ODD, quarantined, spoil
from tests.database.test_job import accepting
from tests.database.test_row_rules import drop_rules
from tests.support.site import Site
from tests.support.tiny import tiny


def odd_of(site: Site) -> str:
    return ODD[site.world.database.engine.dialect.name][0]


def test_a_row_that_spoils_before_the_begin_keeps_only_itself_from_being_sent(ours: Site) -> None:
    drop_rules(ours.world)
    ids = ours.world.add_many([str(n) for n in range(6)], account="reviews")
    batch = ours.world.claimed("reviews")
    spoil(ours.world, ids[3], odd_of(ours))
    assert ours.run(batch)["accepted"] == 5
    assert quarantined(ours.world).keys() == {ids[3]}
    assert ours.world.batch(batch.id)["status"] == "done"
    assert {ours.world.task(i).status for i in ids if i != ids[3]} == {Status.RETRYING}


def test_a_row_that_spoils_during_the_call_keeps_only_its_own_record_back(at: Callable[..., Any]) -> None:
    """Its attempt is closed as unknown and counts; the answers about the others are recorded."""

    def spoil_one() -> None:
        spoil(ours.world, ids[1], odd_of(ours))

    with tiny(accepting(spoil_one)) as server, at(server.url) as ours:
        drop_rules(ours.world)
        ids = ours.world.add_many([str(n) for n in range(5)])
        batch = ours.world.claimed()
        ours.run(batch)
        assert {ours.world.task(i).status for i in ids if i != ids[1]} == {Status.RETRYING}
        assert quarantined(ours.world).keys() == {ids[1]}
        (attempt,) = ours.world.attempts(ids[1])
        assert (attempt["outcome"], attempt["spent"]) == ("unknown", True)
        assert ours.world.batch(batch.id)["status"] == "done"
    assert len(server.asked) == 1


def test_an_answer_about_a_row_that_a_host_holds_waits_for_it(at: Callable[..., Any]) -> None:
    """It is kept in memory and recorded when the host lets go, within the lease."""
    held: list[Any] = []

    def hold_one() -> None:
        engine = create_engine(ours.world.database.url)
        connection = engine.connect()
        held.extend([engine, connection])
        connection.execute(text("SELECT id FROM redrive_tasks WHERE id = :id FOR UPDATE"), {"id": ids[0]})

    def let_go() -> None:
        engine, connection = held
        connection.rollback()
        connection.close()
        engine.dispose()

    async def letting_go(_: float) -> None:
        if held and not held[1].closed:
            let_go()

    with tiny(accepting(hold_one)) as server, at(server.url) as ours:
        if ours.world.database.engine.dialect.name != "postgresql":
            pytest.skip("SQLite has one writer")
        ids = ours.world.add_many(["1", "2", "3"])
        batch = ours.world.claimed()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("redrive.worker.recording.sleep", letting_go)
            assert ours.run(batch) == {"accepted": 3}
        assert {ours.world.task(i).status for i in ids} == {Status.RETRYING}
        assert ours.world.batch(batch.id)["status"] == "done"
        assert [len(ours.world.attempts(i)) for i in ids] == [1, 1, 1]
