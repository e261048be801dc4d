"""Batches: begun once, recorded once, refused when late, and never lost."""

from datetime import timedelta
from uuid import uuid4

import pytest

from redrive.models import ledger
from redrive.models.errors import StaleBatch
from redrive.models.ledger import LOCAL, CallResult, Group
from redrive.models.outcome import Accepted, Deferred, Reading, Refused, State, Throttled, Unknown
from redrive.models.providers import GEELARK
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import World, make_rules

RESTART = "/open/v1/task/restart"


# --- publishing --------------------------------------------------------------------------------------------------


def test_an_unbegun_batch_is_published_again_ever_more_rarely(world: World) -> None:
    """After 5, 10, 20 s … and at most every ten minutes, until somebody begins it."""
    world.add()
    batch = world.claimed()
    gaps = []
    while len(gaps) < 10:
        due_at = world.batch(batch.id)["publish_at"]
        gaps.append((due_at - world.clock.now).total_seconds())
        world.clock.now = due_at - timedelta(seconds=0.001)
        assert published(world) == []
        world.clock.now = due_at
        assert published(world) == [batch]
    assert gaps == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert world.begin_batch(batch.id) is not None
    world.clock.forward(3600)
    assert published(world) == []


def published(world: World) -> list[ledger.Batch]:
    with world.begin() as t:
        return ledger.take_unheard(t)


def test_a_queued_batch_does_not_age(world: World) -> None:
    """Hours in the broker cost nothing: the lease starts when somebody begins."""
    world.add()
    batch = world.claimed()
    world.clock.forward(86_400)
    work = world.begin_batch(batch.id)
    assert work is not None
    assert work.lease_until == world.clock.now + timedelta(seconds=120)


# --- beginning ---------------------------------------------------------------------------------------------------


def test_a_batch_is_begun_once(world: World) -> None:
    """A duplicate job, before or after the end, is a no-op."""
    world.add()
    work = world.begun()
    assert world.begin_batch(work.id) is None
    world.finish(work)
    assert world.begin_batch(work.id) is None
    assert world.begin_batch(uuid4()) is None


def test_a_worker_that_does_not_know_the_account_leaves_the_batch(world: World) -> None:
    """It stays queued for one that does."""
    world.add()
    batch = world.claimed()
    with world.begin() as t:
        assert ledger.begin(t, batch.id, {}, "another") is None
        wrong = {"phones": world.rules["desktops"]}
        assert ledger.begin(t, batch.id, wrong, "another") is None
    assert world.batch(batch.id)["status"] == "queued"
    assert world.begin_batch(batch.id) is not None


# --- opening -----------------------------------------------------------------------------------------------------


def test_only_what_is_still_in_the_batch_is_opened(world: World) -> None:
    """Held, stopped, reported, spent by a lowered limit: nothing of it is sent; the attempt is recorded first."""
    held, stopped, done, spent, goes = world.add_many("abcde")
    work = world.begun()
    world.act("hold", held)
    world.act("stop", stopped)
    world.report(done, Status.SUCCEEDED)
    world.put(spent, attempts=3, spent=3)
    step = world.open(work)
    assert [task.id for permit in step.permits for task in permit.tasks] == [goes]
    (attempt,) = world.attempts(goes)
    assert (attempt["number"], attempt["closed_at"], attempt["batch_id"]) == (1, None, work.id)
    assert world.attempts(spent) == world.attempts(held) == []


def test_an_open_attempt_is_not_opened_again(world: World) -> None:
    """Asking twice for the same call, in one step or two, sends once."""
    task = world.add()
    work = world.begun()
    group = Group(RESTART, (task,))
    assert len(world.advance(work, groups=[group]).permits) == 1
    assert world.advance(work, groups=[group]).permits == ()
    told = [CallResult(RESTART, world.clock.now, {task: Deferred()})]
    assert world.advance(work, told, [group]).permits == ()
    assert len(world.attempts(task)) == 1
    assert world.task(task).status is Status.FAILED


def test_what_needs_no_call_needs_no_permit(world: World) -> None:
    """Tasks that the provider's own rules refuse are recorded as attempts, and no call is counted for them."""
    task = world.add()
    world.ruled("phones", interval_seconds=45.0)
    work = world.begun()
    step = world.advance(work, groups=[Group(LOCAL, (task,))])
    assert len(step.permits) == 1
    refused = Refused(reason=DeadReason.REFUSED, message="one id, please")
    world.advance(work, [CallResult(LOCAL, world.clock.now, {task: refused})])
    assert world.task(task).dead_reason == "refused"
    assert "calls:retry" not in world.totals()


# --- recording ---------------------------------------------------------------------------------------------------


def test_recording_twice_changes_nothing(world: World) -> None:
    """A commit whose confirmation was lost is recorded again: rows, totals, breaker and account stay as they are."""
    ids = world.add_many("abc")
    work = world.opened()
    told = [
        CallResult(
            RESTART,
            world.clock.now,
            {ids[0]: Accepted(), ids[1]: Unknown(), ids[2]: Refused(reason=DeadReason.NOT_FOUND)},
        )
    ]
    world.advance(work, told)
    before = (world.tasks(), [world.attempts(i) for i in ids], world.totals(), world.account())
    world.clock.forward(10)
    world.advance(work, told)
    assert (world.tasks(), [world.attempts(i) for i in ids], world.totals(), world.account()) == before


def test_a_late_answer_is_refused(world: World) -> None:
    """After the rescue the batch is somebody else's business: nothing is written."""
    task = world.add()
    work = world.opened()
    world.clock.forward(120)
    world.rescue(work.id)
    before = (world.task(task), world.attempts(task), world.totals())
    with pytest.raises(StaleBatch):
        world.answer(work, Accepted())
    with pytest.raises(StaleBatch):
        world.finish(work)
    assert (world.task(task), world.attempts(task), world.totals()) == before


def test_a_late_answer_of_an_old_batch_does_not_touch_the_new_one(world: World) -> None:
    """The task is in another batch by then, its next attempt open."""
    world.ruled("phones", policy={"check_after_seconds": 1.0, "settle_seconds": 1.0, "base_seconds": 1.0})
    task = world.add()
    old = world.opened()
    world.clock.forward(120)
    world.rescue(old.id)
    world.clock.forward(60)
    world.looked(Reading(state=State.FAILED))
    world.clock.forward(60)
    new = world.opened()
    with pytest.raises(StaleBatch):
        world.answer(old, Accepted())
    (first, second) = world.attempts(task)
    assert (first["outcome"], second["outcome"], second["batch_id"]) == ("unknown", None, new.id)


def test_an_answer_closes_attempts_of_its_own_batch_only(world: World) -> None:
    """A batch that answers for a task it does not have changes nothing."""
    world.ruled("phones", batch_size=1)
    one, two = world.add_many("ab")
    first, second = world.opened(), world.opened()
    world.advance(first, [CallResult(RESTART, world.clock.now, {one: Accepted(), two: Accepted()})])
    assert world.task(two).status is Status.IN_FLIGHT
    assert world.attempts(two)[0]["closed_at"] is None
    world.answer(second, Accepted())
    assert world.task(two).status is Status.RETRYING


def test_what_outside_text_may_contain(world: World) -> None:
    """NUL, half surrogate pairs, an endless id: the record must not fail for the sake of a character."""
    task = world.add(params={"note": "a\\u0000b\0c\ud800"})
    work = world.opened()
    world.answer(work, Accepted(message="x\0y\udfffz \\u0000 \\\\u0000", code="c" * 99, ref="r" * 999))
    (attempt,) = world.attempts(task)
    assert attempt["message"] == "xy?z \\u0000 \\\\u0000"
    assert attempt["provider_code"] == "c" * 64
    assert world.task(task).provider_ref == "r" * 255
    assert world.task(task).params == {"note": "a\\u0000bc?"}


# --- ending ------------------------------------------------------------------------------------------------------


def test_what_was_not_sent_goes_back(world: World) -> None:
    """Due at once, as it was, and nothing spent."""
    task = world.add()
    world.put(task, status="canceled")
    work = world.begun()
    world.finish(work)
    row = world.task(task)
    assert (row.status, row.due_at, row.spent, row.attempts, row.batch_id) == ("canceled", world.clock.now, 0, 0, None)
    assert world.batch(work.id)["status"] == "done"


def test_a_batch_that_owes_an_answer_is_not_done(world: World) -> None:
    """Its open attempt would be nobody's: it stays until the lease ends, and is rescued."""
    ids = world.add_many("ab")
    work = world.begun()
    world.open(work, [ids[0]])
    world.finish(work)
    assert world.batch(work.id)["status"] == "sending"
    assert [world.task(i).status for i in ids] == ["in_flight", "failed"]
    world.clock.forward(120)
    assert world.rescue(work.id) == 1
    assert world.task(ids[0]).status is Status.UNKNOWN


# --- rescue ------------------------------------------------------------------------------------------------------


def test_a_lost_batch_is_taken_back_exactly(world: World) -> None:
    """Open: may have been sent, spent, checked first. Not open: never sent, due at once, unspent."""
    ids = world.add_many("abc")
    work = world.begun()
    world.open(work, ids[:2])
    world.advance(work, [CallResult(RESTART, world.clock.now, {ids[0]: Accepted()})])
    world.clock.forward(119)
    with world.begin() as t:
        assert ledger.expired(t) == []
    assert world.rescue(work.id) == 0
    world.clock.forward(1)
    with world.begin() as t:
        assert [each.id for each in ledger.expired(t)] == [work.id]
    assert world.rescue(work.id) == 2
    assert world.rescue(work.id) == 0
    answered, opened, waiting = (world.task(i) for i in ids)
    assert (answered.status, answered.spent) == ("retrying", 1)
    assert (opened.status, opened.spent, opened.next) == ("unknown", 1, "check")
    assert opened.status_since == work.lease_until
    assert opened.due_at == work.lease_until + timedelta(seconds=30)
    assert (waiting.status, waiting.spent, waiting.due_at) == ("failed", 0, world.clock.now)
    (attempt,) = world.attempts(ids[1])
    assert (attempt["outcome"], attempt["spent"]) == ("unknown", True)
    assert world.totals()["spent"] == 2
    assert world.batch(work.id)["status"] == "lost"


def test_a_rescue_counts_the_attempt_of_a_task_that_left(world: World) -> None:
    """Its owner reported a success while the call was open: the call counts, the success stays."""
    task = world.add()
    work = world.opened()
    world.report(task, Status.SUCCEEDED)
    world.clock.forward(120)
    world.rescue(work.id)
    assert (world.task(task).status, world.task(task).spent) == ("succeeded", 1)
    assert world.attempts(task)[0]["closed_at"] == world.clock.now


def test_a_lost_check_needs_no_rescue_to_be_due_again(world: World) -> None:
    task = world.accepted()
    world.clock.forward(30)
    work = world.begun(operation=Operation.CHECK)
    world.clock.forward(120)
    before = world.task(task)
    assert world.rescue(work.id) == 0
    assert world.batch(work.id)["status"] == "lost"
    assert world.task(task) == before
    assert before.due_at == world.clock.now


# --- looks -------------------------------------------------------------------------------------------------------


def test_a_check_of_an_older_attempt_is_dropped(world: World) -> None:
    """Asked before the last attempt was opened, it tells of the run before: the number gives it away."""
    task = world.accepted()
    world.clock.forward(61)
    slow = world.begun(operation=Operation.CHECK)
    asked_at = world.clock.now
    world.clock.forward(1)
    world.put(task, due_at=world.clock.now)
    world.looked(Reading(state=State.FAILED))
    world.clock.forward(60)
    world.retried(Accepted())
    before = world.task(task)
    assert (before.status, before.attempts) == ("retrying", 2)
    world.look(slow, Reading(state=State.SUCCEEDED), asked={task: 1}, asked_at=asked_at)
    assert world.task(task) == before
    world.look(slow, Reading(state=State.SUCCEEDED), asked={task: 2}, asked_at=world.clock.now)
    assert world.task(task).status is Status.SUCCEEDED


def test_checks_that_overtake_each_other(world: World) -> None:
    """The one asked last counts, whichever comes first."""
    task = world.accepted()
    world.clock.forward(61)
    slow = world.begun(operation=Operation.CHECK)
    asked_at = world.clock.now
    world.clock.forward(1)
    world.put(task, due_at=world.clock.now)
    world.looked(Reading(state=State.RUNNING))
    before = world.task(task)
    world.look(slow, Reading(state=State.FAILED), asked_at=asked_at)
    assert world.task(task) == before


def test_an_early_end_is_checked_again_when_it_has_settled(world: World) -> None:
    """The provider still shows the state from before the retry: it is not believed for a minute."""
    task = world.accepted()
    world.clock.forward(30)
    world.looked(Reading(state=State.FAILED))
    assert world.task(task).status is Status.RETRYING
    assert world.task(task).due_at == world.clock.now + timedelta(seconds=30)
    world.clock.forward(30)
    world.looked(Reading(state=State.FAILED, code="10", message="no network"))
    assert world.task(task).status is Status.FAILED
    (attempt,) = world.attempts(task)
    assert (attempt["result"], attempt["settled_at"]) == ("failed: 10 no network", world.clock.now)


@pytest.mark.parametrize("state", [State.FAILED, State.SUCCEEDED])
def test_a_run_of_the_whole_review_proves_nothing_about_a_rules_own(world: World, state: State) -> None:
    """It changed what is shown of the rule since the rule was checked: this may still be its end."""
    rule = world.add("1", "reviews", sub_id="11")
    world.claim("reviews")
    world.looked(Reading(state=State.FAILED, mark="first run"), "reviews")
    world.retried(Accepted(), "reviews")
    world.clock.forward(30)
    world.looked(Reading(state=state, mark="the whole review's"), "reviews")
    assert world.task(rule).status is Status.RETRYING
    world.clock.forward(30)
    world.looked(Reading(state=state, mark="its own"), "reviews")
    assert world.task(rule).status == state


def test_what_became_of_a_run_is_kept_once(world: World) -> None:
    """Where an account archives results, what the next retry overwrites is kept, once per attempt."""
    world.ruled("reviews", archives=True, policy={"check_before_retry": "always"})
    world.add("1", "reviews")
    world.claim("reviews")
    result = {"rules": [{"id": "1", "text": "naïve \0"}]}
    for _ in range(2):
        world.put(1, next="check", due_at=world.clock.now)
        world.looked(Reading(state=State.FAILED, result=result), "reviews")
    with world.database.reading() as t:
        rows = t.mappings(ledger.check_step.archives.select())
    assert [(row["task_id"], row["number"], row["result"]) for row in rows] == [
        (1, 0, {"rules": [{"id": "1", "text": "naïve "}]})
    ]


def test_calls_are_counted(world: World) -> None:
    """Every HTTP call counts, also those beyond the first, but none that never left."""
    world.add_many("abc", "desktops")
    work = world.opened("desktops")
    path = "/script-executions/retry"
    told = [
        CallResult(path, world.clock.now, {1: Accepted()}, ("/v3/auth/tokens",)),
        CallResult(path, world.clock.now, {2: Deferred()}),
        CallResult(path, world.clock.now, {3: Throttled(wait_seconds=1.0)}),
    ]
    world.advance(work, told)
    assert world.totals("desktops")["calls:retry"] == 3


def test_rules_need_no_settings(world: World) -> None:
    """What the ledger is told of an account is a value; anybody can make one."""
    world.rules["more"] = make_rules("more", GEELARK)
    world.ensure()
    world.add("1", "more")
    assert world.claimed("more").provider == "geelark"
