"""What the command line asks of the database."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from redrive.models import queries
from redrive.models.explain import Explanation, explain
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    Deferred,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
)
from redrive.models.queries import AccountOverview, Overview, TaskFilter
from redrive.models.sql.tables import tasks
from redrive.models.states import DeadReason, Operation, Status
from tests.support.shop import runs
from tests.support.world import World


def overview(world: World) -> Overview:
    with world.database.reading() as t:
        return queries.overview(t, world.rules)


def of(world: World, account: str = "phones") -> AccountOverview:
    return next(each for each in overview(world).accounts if each.account == account)


def explained(world: World, task_id: int) -> Explanation:
    with world.database.reading() as t:
        facts = queries.facts(t, task_id, world.rules)
    assert facts is not None
    return explain(facts)


def find(world: World, **wanted: Any) -> list[int]:
    """Ids, asked for in all ways."""
    with world.database.reading() as t:
        found = [task.id for task in queries.find(t, TaskFilter(**wanted))]
        assert [*queries.all_ids(t, TaskFilter(**wanted))] == found
        every_id = queries.all_ids(t, TaskFilter())
        assert queries.still_matching(t, TaskFilter(**wanted), every_id) == found
    return found


# --- the overview --------------------------------------------------------------------------------------------------


def test_every_task_is_counted_once_by_its_status(world: World) -> None:
    """Whatever holds a task, a moment, a batch, a person or nothing, it is in one number."""
    world.ruled("phones", policy={"retry_canceled": False})
    failed, held, stopped, succeeded, canceled, running = world.add_many("abcdef")
    world.act("hold", held)
    world.act("stop", stopped)
    world.report(succeeded, Status.SUCCEEDED)
    world.put(canceled, status="canceled", due_at=None)
    world.put(running, status="running", due_at=None)
    world.add("looked at", status=Status.PENDING)
    world.act("retry", running)
    retrying = world.accepted("g")
    assert world.task(failed).status == Status.RETRYING
    world.add("h")
    world.claimed()
    phones = of(world)
    assert phones.tasks == {
        "retrying": 2, "in_flight": 1, "held": 1, "dead": 1, "succeeded": 1, "canceled": 1, "running": 1, "pending": 1,
    }  # fmt: skip
    assert phones.dead == {"stopped": 1}
    assert sum(phones.tasks.values()) == len(world.tasks())
    assert retrying


def test_what_is_due_now_and_next_is_told_apart(world: World) -> None:
    world.add("1")
    world.clock.forward(10)
    world.add("2")
    later = world.add("3")
    world.put(later, due_at=world.clock.now + timedelta(minutes=5))
    world.accepted("r", "reviews")
    phones, reviews = of(world), of(world, "reviews")
    assert (phones.due_retries, phones.due_checks) == (2, 0)
    assert phones.due_since == world.clock.now - timedelta(seconds=10)
    assert phones.next_due_at == world.clock.now + timedelta(minutes=5)
    assert (reviews.due_retries, reviews.due_checks, reviews.due_since) == (0, 0, None)
    assert reviews.next_due_at == world.clock.now + timedelta(seconds=30)
    world.clock.forward(30)
    assert of(world, "reviews").due_checks == 1


def test_accounts_that_nobody_configured_are_shown_while_they_have_tasks(world: World) -> None:
    with world.begin() as t:
        t.execute(insert(tasks).values(account="forgotten", external_id="1"))
    del world.rules["blind"]
    found = {each.account: each for each in overview(world).accounts}
    assert found["forgotten"].tasks == {"failed": 1}
    assert not found["forgotten"].configured
    assert "blind" not in found, "a row without tasks says nothing"


def test_pauses_breakers_penalties_and_counters_are_told(world: World) -> None:
    world.add("1", "desktops")
    world.retried(Blocked(cause=Cause.BALANCE, message="empty"), "desktops")
    world.ruled("phones", breaker=world.rules["phones"].breaker)
    world.add("1")
    world.retried(Throttled(wait_seconds=3600, code="40014", message="locked"))
    for n in range(5):
        world.add(f"{n}", "reviews")
        world.retried(Deferred(message="no route"), "reviews")
    seen = overview(world)
    paused = of(world, "desktops").paused
    assert paused is not None
    assert (paused.cause, paused.reason, paused.by) == ("balance", "empty", "redrive")
    assert [(penalty.group, penalty.path) for penalty in seen.penalties] == [("phones", "/open/v1/task/restart")]
    assert [(each.operation, each.failures, each.why) for each in of(world, "reviews").breakers] == [
        (Operation.RETRY, 5, "no route")
    ]
    assert of(world, "reviews").totals["outcome:deferred"] == 5


def test_a_batch_nobody_begins_is_told_after_a_while(world: World) -> None:
    world.add("1")
    batch = world.claimed()
    assert [each.unbegun for each in overview(world).batches] == [False]
    world.clock.forward(30)
    assert [(each.id, each.unbegun) for each in overview(world).batches] == [(batch.id, True)]
    work = world.begin_batch(batch.id)
    assert [each.unbegun for each in overview(world).batches] == [False]
    assert work is not None
    world.finish(work)
    assert overview(world).batches == ()


def test_the_overview_costs_the_same_however_many_tasks_there_are(world: World) -> None:
    with world.statements() as few:
        overview(world)
    world.add_many([str(n) for n in range(300)])
    with world.statements() as many:
        overview(world)
    assert len(few) == len(many)


def test_what_is_due_or_old_is_found_through_its_index(new_sqlite_database: Callable[[], str]) -> None:
    """A database that must read what ended to count what is due has lost: SQLite, the simpler planner, shows it."""
    world = World(new_sqlite_database())
    with world.statements() as asked, world.database.reading() as t:
        queries.overview(t, world.rules)
        queries.all_ids(t, TaskFilter(due=True))
        queries.prunable_tasks(t, "phones", Status.SUCCEEDED, timedelta(days=1))
    plans = {}
    with world.database.reading() as t:
        for statement in asked:
            if "redrive_tasks" in statement:
                values = tuple([0] * statement.count("?"))
                rows = t.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                plans[statement] = " ".join(row[3] for row in rows)
    for index in "retry_due", "check_due", "ended":
        assert any(f"redrive_tasks_{index}_idx" in plan for plan in plans.values()), index
    world.close()


def test_everything_can_be_said_in_json(world: World) -> None:
    task_id = world.accepted("1", params={"a": [1, None]})
    world.act("hold", task_id)
    with world.database.reading() as t:
        values = [
            queries.overview(t, world.rules),
            queries.history(t, task_id),
            queries.find(t, TaskFilter()),
            explained(world, task_id),
        ]
    for value in values:
        json.dumps(queries.plain(value))
    history: Any = queries.plain(values[1])
    assert history["task"]["status_since"] == "2026-03-01T12:00:00.000Z"
    assert history["task"]["params"] == {"a": [1, None]}


# --- filters -------------------------------------------------------------------------------------------------------


def test_a_filter_means_what_it_says(world: World) -> None:
    phone, other = world.add_many(["5912", "5913"])
    review = world.add("77", "reviews")
    record = world.add("5912", "desktops", kind="record")
    world.act("stop", other)
    assert find(world) == [phone, other, review, record]
    assert find(world, accounts=("phones", "reviews")) == [phone, other, review]
    assert find(world, statuses=(Status.DEAD,)) == [other]
    assert find(world, statuses=(Status.DEAD, Status.FAILED), accounts=("phones",)) == [phone, other]
    assert find(world, dead_reasons=(DeadReason.STOPPED,)) == [other]
    assert find(world, dead_reasons=(DeadReason.EXPIRED,)) == []
    assert find(world, kinds=("record",)) == [record]
    assert find(world, external_ids=("5912",)) == [phone, record]
    assert find(world, statuses=(Status.FAILED,), dead_reasons=(DeadReason.STOPPED,)) == []


def test_due_means_retries_and_checks(world: World) -> None:
    retried, looked, later, _held = world.add_many("abcd")
    world.put(looked, next="check")
    world.put(later, due_at=world.clock.now + timedelta(seconds=1))
    world.act("hold", _held)
    assert find(world, due=True) == [retried, looked]
    world.clock.forward(1)
    assert find(world, due=True) == [retried, looked, later]


def test_since_means_the_change_of_status(world: World) -> None:
    early = world.add("1")
    world.clock.forward(3600)
    late = world.add("2")
    assert find(world, since=timedelta(minutes=30)) == [late]
    assert find(world, since=timedelta(hours=1)) == [early, late]
    assert find(world, since=world.clock.now) == [late]


def test_pages_follow_each_other(world: World) -> None:
    ids = world.add_many([str(n) for n in range(5)])
    pages = []
    with world.database.reading() as t:
        while page := queries.find(t, TaskFilter(), after=pages[-1][-1] if pages else 0, limit=2):
            pages.append([task.id for task in page])
    assert pages == [ids[:2], ids[2:4], ids[4:]]


# --- one task ------------------------------------------------------------------------------------------------------


def test_a_history_has_everything_in_its_order(world: World) -> None:
    task_id = world.add("1")
    world.retried(Deferred(message="no route"))
    world.clock.forward(60)
    world.retried(Accepted(ref="new"))
    world.act("hold", task_id)
    world.act("release", task_id)
    with world.database.reading() as t:
        found = queries.history(t, task_id)
    assert found is not None
    assert [(each.number, each.outcome, each.message, each.provider_ref) for each in found.attempts] == [
        (1, "deferred", "no route", ""),
        (2, "accepted", "", "new"),
    ]
    assert [(each.what, each.who, each.why) for each in found.actions] == [
        ("hold", "tests", "to see what happens"),
        ("release", "tests", "to see what happens"),
    ]


def test_results_that_were_kept_are_in_the_history(world: World) -> None:
    world.ruled("reviews", archives=True)
    task_id = world.add("1", "reviews")
    world.claim("reviews")
    world.looked(Reading(state=State.FAILED, result={"verdict": "unreadable"}), "reviews")
    with world.database.reading() as t:
        found = queries.history(t, task_id)
    assert found is not None
    assert [(each.number, each.result) for each in found.archives] == [(0, {"verdict": "unreadable"})]


def test_what_does_not_exist_is_none(world: World) -> None:
    with world.database.reading() as t:
        assert queries.history(t, 1) is None
        assert queries.facts(t, 1, world.rules) is None
        assert queries.get(t, 1) is None


# --- explanations agree with what claims do ------------------------------------------------------------------------


def paused(world: World) -> None:
    world.pause()


def penalized(world: World) -> None:
    world.add("other")
    world.retried(Throttled(wait_seconds=3600))


def tripped(world: World) -> None:
    for n in range(5):
        world.add(f"tripping {n}")
        world.retried(Deferred(message="no route"))


def crowded(world: World) -> None:
    world.ruled("phones", max_in_flight=1)
    world.add("other")
    world.claimed()


def filled(world: World) -> None:
    """What is claimed already fills half a lease at this pace."""
    world.ruled("phones", interval_seconds=61.0)
    world.add_many([f"filling {n}" for n in range(100)])
    world.claimed()


def renamed(world: World) -> None:
    world.rules["phones"] = world.rules["phones"].__class__(
        **{name: getattr(world.rules["phones"], name) for name in ("account", "policy", "group", "interval_seconds")},
        capabilities=world.rules["desktops"].capabilities,
    )


@pytest.mark.parametrize("obstruct", [paused, penalized, tripped, crowded, filled, renamed])
def test_what_explain_calls_an_obstacle_stops_the_claim(world: World, obstruct: Callable[[World], None]) -> None:
    """The same question, asked of the explanation and of the claim itself."""
    runs(world, "scheduler", "worker")
    obstruct(world)
    task_id = world.add("mine")
    assert world.claim().batch is None
    lines = " ".join(explained(world, task_id).lines)
    assert "Nothing is in its way" not in lines
    world.clock.forward(0)


def test_without_an_obstacle_the_claim_takes_it(world: World) -> None:
    runs(world, "scheduler", "worker")
    task_id = world.add("mine")
    assert "Nothing is in its way" in " ".join(explained(world, task_id).lines)
    assert world.claim().batch is not None
    assert f"it is in batch {world.task(task_id).batch_id}" in explained(world, task_id).lines[0]


def test_a_check_that_is_claimed_is_explained_by_its_batch(world: World) -> None:
    task_id = world.accepted("1")
    world.clock.forward(60)
    batch = world.claimed(operation=Operation.CHECK)
    assert f"A check is under way in batch {batch.id}" in " ".join(explained(world, task_id).lines)


def test_an_open_attempt_is_explained(world: World) -> None:
    task_id = world.add("1")
    world.opened()
    assert "attempt 1 was opened" in explained(world, task_id).lines[0]


def test_a_conflicting_task_is_explained(world: World) -> None:
    """Of one review, the whole and its rules are never under way together."""
    world.accepted("77", "reviews")
    rule = world.add("77", "reviews", sub_id="5")
    world.put(
        rule,
        seen={
            "state": "failed",
            "mark": "",
            "at": "2026-03-01T12:00:00+00:00",
            "first_at": "2026-03-01T12:00:00+00:00",
            "number": 0,
            "ran": False,
            "before": "",
        },
    )
    assert "It waits: task 1 of the same review must end first." in " ".join(explained(world, rule).lines)
    assert world.claim("reviews").batch is None


def test_tasks_that_come_first_are_those_a_claim_takes_first(world: World) -> None:
    world.ruled("phones", batch_size=3)
    ids = world.add_many([str(n) for n in range(5)])
    world.put(ids[4], priority=1)
    world.put(ids[0], priority=-1)
    with world.database.reading() as t:
        first = sorted(ids, key=lambda each: queries.facts(t, each, world.rules).ahead)  # type: ignore[union-attr]
    assert first == [ids[4], ids[1], ids[2], ids[3], ids[0]]
    assert {task.id for task in world.begun().tasks} == set(first[:3])


def test_every_end_of_a_retry_can_be_explained(world: World) -> None:
    outcomes = [
        Accepted(),
        Already(code="48001"),
        Refused(reason=DeadReason.REFUSED),
        Deferred(),
        Throttled(),
        Unknown(),
    ]
    for n, outcome in enumerate(outcomes):
        task_id = world.add(str(n), ["phones", "desktops", "blind"][n % 3])
        world.retried(outcome, ["phones", "desktops", "blind"][n % 3])
        assert len(explained(world, task_id).lines) > 1


# --- pruning -------------------------------------------------------------------------------------------------------


def test_what_is_past_its_retention_is_counted_as_it_would_be_deleted(world: World) -> None:
    old, young = world.add_many("ab")
    world.report(old, Status.SUCCEEDED)
    world.clock.forward(3600)
    world.report(young, Status.SUCCEEDED)
    with world.database.reading() as t:
        assert queries.ended_accounts(t) == ["phones"]
        assert queries.prunable_tasks(t, "phones", Status.SUCCEEDED, timedelta(minutes=30)) == 1
        assert queries.prunable_tasks(t, "phones", Status.DEAD, timedelta(0)) == 0
        assert queries.prunable_batches(t, timedelta(0)) == 0
