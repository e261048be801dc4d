"""Schedulers and workers write down that they run, and leave the list when they end."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from random import Random

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from redrive.models import queries
from redrive.models.errors import Unreachable
from redrive.models.presence import Presence
from redrive.models.queries import Process
from redrive.models.settings import Settings
from redrive.models.sql.db import Database
from redrive.models.sql.tables import processes
from redrive.scheduler.publish import Publisher
from redrive.scheduler.service import Scheduler
from redrive.worker import heart
from redrive.worker.heart import Heart
from tests.support.world import World


class Nowhere(Publisher):
    """A broker that nothing is published to."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def scheduler(world: World) -> Scheduler:
    return Scheduler(world.database, Nowhere(), Settings(), world.rules, Random(1))


@pytest.fixture
def beating(world: World) -> Iterator[Heart]:
    found = Heart(Presence(world.database, "worker"))
    yield found
    found.stop()


def listed(world: World) -> tuple[Process, ...]:
    with world.database.reading() as t:
        return queries.processes(t) or ()


def test_a_scheduler_is_on_the_list_after_a_pass(world: World, scheduler: Scheduler) -> None:
    """Of the same process one row, however many passes; a neighbour's row stays when it leaves."""
    Presence(world.database, "scheduler", "other:1").beat()
    scheduler.start()
    scheduler.run_once()
    scheduler.run_once()
    other, mine = sorted(listed(world), key=lambda each: each.name != "other:1")
    assert (mine.role, mine.alive, other.name) == ("scheduler", True, "other:1")
    assert mine.version
    scheduler.stop()
    assert [each.name for each in listed(world)] == ["other:1"]


def test_a_later_beat_moves_the_row(world: World) -> None:
    presence = Presence(world.database, "worker", "here:1")
    presence.beat()
    world.clock.forward(25)
    presence.beat()
    (row,) = listed(world)
    assert row.seen_at - row.started_at == timedelta(seconds=25)
    world.clock.forward(29)
    assert listed(world)[0].alive
    world.clock.forward(2)
    assert not listed(world)[0].alive


def test_rows_of_killed_processes_are_forgotten(world: World) -> None:
    """After a day, by whichever process beats next."""
    Presence(world.database, "worker", "killed:1").beat()
    Presence(world.database, "worker", "yesterday:1").beat()
    world.clock.forward(86_400)
    with world.begin() as t:
        t.execute(update(processes).where(processes.c.name == "yesterday:1").values(seen_at=t.now))
    world.clock.forward(1)
    Presence(world.database, "scheduler", "here:1").beat()
    assert [each.name for each in listed(world)] == ["here:1", "yesterday:1"]


class Noted(Presence):
    """Says when it has beaten, and may fail at that."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "worker", "here:1")
        self.beaten, self.more = threading.Semaphore(0), True

    def beat(self) -> None:
        try:
            if not self.more:
                raise Unreachable("away")
            super().beat()
        finally:
            self.beaten.release()


def test_a_heart_beats_beside_the_jobs_until_it_is_stopped(world: World) -> None:
    presence = Noted(world.database)
    beating = Heart(presence)
    beating.start()
    beating.start()
    assert presence.beaten.acquire(timeout=10)
    assert [each.role for each in listed(world)] == ["worker"]
    beating.stop()
    assert listed(world) == ()
    beating.stop()


def test_a_database_that_is_away_is_said_once_and_the_heart_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "BEAT_SECONDS", 0.001)
    presence = Noted(world.database)
    presence.more = False
    beating = Heart(presence)
    with capture_logs() as lines:
        beating.start()
        for _ in range(5):
            assert presence.beaten.acquire(timeout=10)
        presence.more = True
        for _ in range(2):
            assert presence.beaten.acquire(timeout=10)
    found = listed(world)
    beating.stop()
    assert [line["event"] for line in lines] == ["heartbeat.failed"]
    assert [each.name for each in found] == ["here:1"]


def test_a_heart_that_never_began_ends_at_once(world: World, beating: Heart) -> None:
    beating.stop()
    beating.start()
    assert listed(world) == ()


def test_a_schema_without_the_table_is_no_trouble(world: World) -> None:
    """The release before migrates later: nobody is on a list, and nobody is missing."""
    world.database.level = 1
    presence = Presence(world.database, "worker")
    presence.beat()
    presence.end()
    with world.database.reading() as t:
        assert queries.missing(t, queries.processes(t)) == ()


def test_a_scheduler_says_what_came_in_the_way(world: World, scheduler: Scheduler) -> None:
    """A pause by somebody else is a line of its log, once."""
    scheduler.start()
    world.pause()
    with capture_logs() as lines:
        scheduler.run_once()
        scheduler.run_once()
    assert [line["account"] for line in lines if line["event"] == "account.paused"] == ["phones"]
