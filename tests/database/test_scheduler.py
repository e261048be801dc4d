"""The scheduler's pass: publishes what is committed, goes on when the broker does not, and serves everybody in turn."""

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from redrive.models.clock import boottime
from redrive.models.ledger import Batch
from redrive.models.settings import Settings
from redrive.models.sql.db import Database
from redrive.models.sql.tables import batches
from redrive.models.states import Operation, Status
from redrive.scheduler.publish import Publisher
from redrive.scheduler.service import Scheduler
from redrive.scheduler.wake import Wait
from tests.support.world import World

NO_WAKE_UPS = "amqp://nowhere"


@dataclass
class Broker(Publisher):
    """A broker that notes what it is sent, and takes it or does not."""

    takes: bool = True
    quiet: bool = False
    sent: list[Batch] = field(default_factory=list)
    then: Callable[[Batch], object] = lambda _: None

    @property
    def silent(self) -> bool:
        return self.quiet

    def send(self, batch: Batch) -> bool:
        self.sent.append(batch)
        self.then(batch)
        return self.takes


@pytest.fixture
def broker() -> Broker:  # instead of the shared one: no server is needed here
    return Broker()


@pytest.fixture
def scheduler(world: World, broker: Broker) -> Scheduler:
    return Scheduler(world.database, broker, Settings(), world.rules, Random(1))


def test_a_batch_is_committed_before_it_is_published(world: World, broker: Broker, scheduler: Scheduler) -> None:
    """A worker that is faster than we are finds the batch: another connection sees it at that moment."""
    other = Database(world.url)
    seen = []

    def look(batch: Batch) -> None:
        with other.reading() as t:
            seen.append([row.status for row in t.rows(select(batches.c.status).where(batches.c.id == batch.id))])

    broker.then = look
    world.add()
    done = scheduler.run_once()
    assert seen == [["queued"]]
    assert (done.claimed, done.published, done.examined) == (1, 1, 1)
    other.close()


def test_a_broker_that_fails_stops_no_claim(world: World, broker: Broker, scheduler: Scheduler) -> None:
    """Every account is claimed for, nothing is told as published, and each batch comes again after five seconds."""
    broker.takes = False
    for account in ("phones", "desktops", "reviews"):
        world.add(account=account)
    done = scheduler.run_once()
    assert (done.claimed, done.published) == (3, 0)
    first = {batch.id for batch in broker.sent}
    broker.sent.clear()
    broker.takes = True
    world.clock.forward(4.9)
    assert scheduler.run_once().published == 0
    world.clock.forward(0.2)
    assert scheduler.run_once().published == 3
    assert {batch.id for batch in broker.sent} == first
    assert scheduler.run_once().published == 0


def test_a_silent_broker_costs_a_batch_no_turn(world: World, broker: Broker, scheduler: Scheduler) -> None:
    """What was not tried is not put off: it is published as soon as the silence is over."""
    world.add()
    scheduler.run_once()
    batch = broker.sent.pop()
    broker.quiet = True
    for _ in range(5):
        world.clock.forward(6)
        scheduler.run_once()
    assert broker.sent == []
    assert world.batch(batch.id)["publishes"] == 1
    broker.quiet = False
    scheduler.run_once()
    assert [each.id for each in broker.sent] == [batch.id]


def test_a_batch_that_was_begun_is_not_published_again(world: World, broker: Broker, scheduler: Scheduler) -> None:
    world.add()
    scheduler.run_once()
    world.begin_batch(broker.sent.pop().id)
    world.clock.forward(60)
    scheduler.run_once()
    assert broker.sent == []


def test_a_lost_batch_is_taken_back(world: World, scheduler: Scheduler) -> None:
    """The lease is over: what may have been sent is unknown and spent, the rest goes back, a live batch stays."""
    sent, unsent = world.add_many("12", account="reviews")
    work = world.begun("reviews")
    world.open(work, [sent])
    world.add("3", account="desktops")
    world.begun("desktops")
    world.clock.forward(world.rules["reviews"].lease_seconds - 1)
    alive = world.add("4")
    world.begun("phones")
    assert scheduler.run_once().rescued == 0
    world.clock.forward(2)
    assert scheduler.run_once().rescued == 3
    assert (world.task(sent).status, world.task(sent).spent) == (Status.UNKNOWN, 1)
    assert world.task(unsent).spent == 0
    assert world.task(alive).status is Status.IN_FLIGHT
    assert world.batch(work.id)["status"] == "lost"


def test_a_lost_batch_of_a_provider_that_cannot_be_loaded_is_taken_back(
    world: World, scheduler: Scheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its package is broken and its account configured no more: a rescue needs neither."""
    package = tmp_path / "broken-1.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[redrive.providers]\nbroken = no_such_module:Provider\n")
    monkeypatch.syspath_prepend(tmp_path)
    world.add(account="desktops")
    gone = world.begun("desktops")
    world.add()
    world.begun()
    with world.begin() as t:
        t.execute(update(batches).where(batches.c.id == gone.id).values(account="gone", provider="broken"))
    world.clock.forward(world.rules["phones"].lease_seconds + 1)
    assert scheduler.run_once().rescued == 2
    assert world.batch(gone.id)["status"] == "lost"


def test_a_crowd_in_one_account_delays_nobody(world: World, broker: Broker, scheduler: Scheduler) -> None:
    """One batch for each account and operation per pass, however much is due in one of them."""
    world.accepted("2", account="reviews")
    world.add_many([str(n) for n in range(500)])
    world.add("1", account="desktops")
    world.add("1", account="reviews")
    world.clock.forward(1000)
    done = scheduler.run_once()
    assert Counter((batch.account, batch.operation) for batch in broker.sent) == {
        ("phones", Operation.RETRY): 1,
        ("desktops", Operation.RETRY): 1,
        ("reviews", Operation.RETRY): 1,
        ("reviews", Operation.CHECK): 1,
    }
    assert done.claimed == 103


def test_only_configured_accounts_that_may_act_are_claimed_for(world: World, broker: Broker) -> None:
    """Tasks of an unknown account and of a paused one stay where they are, and are claimed once that changes."""
    scheduler = Scheduler(world.database, broker, Settings(), {"phones": world.rules["phones"]})
    phone, review = world.add(), world.add(account="reviews")
    world.pause()
    assert scheduler.run_once().examined == 0
    assert broker.sent == []
    world.resume()
    assert scheduler.run_once().claimed == 1
    assert world.task(phone).status is Status.IN_FLIGHT
    assert world.task(review).status is Status.FAILED


def test_old_rows_are_pruned_and_their_neighbours_stay(world: World, scheduler: Scheduler) -> None:
    """Past retention: succeeded tasks and finished batches. Younger ones, dead and unfinished ones stay."""
    old = world.accepted("old")
    world.report(old, Status.SUCCEEDED)
    failed, dead = world.add("failed"), world.add("dead")
    world.act("hold", failed)
    world.act("stop", dead)
    world.clock.forward(timedelta(days=29).total_seconds())
    young = world.add("young")
    world.report(young, Status.SUCCEEDED)
    world.clock.forward(timedelta(days=1.1).total_seconds())
    assert scheduler.pruner.all() == 2, "one task, one batch"
    assert world.tasks().keys() == {failed, dead, young}


def test_dead_tasks_are_pruned_where_that_is_set(world: World, broker: Broker) -> None:
    settings = Settings.model_validate({"retention": {"dead_days": 2}})
    dead = world.add()
    world.act("stop", dead)
    world.clock.forward(timedelta(days=1.9).total_seconds())
    assert Scheduler(world.database, broker, settings, world.rules).pruner.all() == 0
    world.clock.forward(timedelta(days=0.2).total_seconds())
    assert Scheduler(world.database, broker, settings, world.rules).run_once().pruned == 0, "batches come first"
    assert Scheduler(world.database, broker, settings, world.rules).pruner.all() == 1


# --- The loop --------------------------------------------------------------------------------------------------------


def looping(world: World, broker: Broker, stop: threading.Event) -> float:
    """Run the loop with a long poll; seconds until it ended."""
    settings = Settings.model_validate({"scheduler": {"poll_seconds": 20}})
    began = boottime()
    with Wait(NO_WAKE_UPS, stop) as waiting:
        Scheduler(world.database, broker, settings, world.rules).run(stop, waiting)
    return boottime() - began


def test_the_loop_goes_on_at_once_while_there_is_something_due(world: World, broker: Broker) -> None:
    """Three batches' worth of tasks take three passes and no poll."""
    world.add_many([str(n) for n in range(250)])
    stop = threading.Event()
    broker.then = lambda _: stop.set() if len(broker.sent) == 3 else None
    with capture_logs() as lines:
        assert looping(world, broker, stop) < 10
    assert [batch.size for batch in broker.sent] == [100, 100, 50]
    passes = [line for line in lines if line["event"] == "pass"]
    assert [(line["claimed"], line["log_level"]) for line in passes] == [(n, "debug") for n in (100, 100, 50)]


def test_tasks_moved_to_a_check_do_not_wait_for_a_poll(world: World, broker: Broker) -> None:
    """A pass that claimed nothing and moved what was due is followed by the next at once."""
    world.add("1", account="reviews", sub_id="7")
    stop = threading.Event()
    broker.then = lambda _: stop.set()
    assert looping(world, broker, stop) < 10
    assert [batch.operation for batch in broker.sent] == [Operation.CHECK]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_database_that_goes_away_does_not_end_the_loop(world: World, broker: Broker) -> None:
    """Its connection is cut in the middle of a pass; the tasks are claimed after it is back."""
    other = Database(world.url)
    world.add("1")
    world.add("2", account="reviews")
    stop = threading.Event()

    def cut(_: Batch) -> None:
        if len(broker.sent) == 1:
            with other.transaction() as t:
                me = "datname = current_database() AND pid <> pg_backend_pid()"
                t.connection.exec_driver_sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {me}")
        else:
            stop.set()

    broker.then = cut
    looping(world, broker, stop)
    assert {batch.account for batch in broker.sent} == {"phones", "reviews"}
    other.close()
