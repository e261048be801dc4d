"""Why tasks failed, as codes: where they come from, what keeps them, and what they decide."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from redrive.models import ledger
from redrive.models.ledger import NewTask
from redrive.models.outcome import Accepted, Already, Reading, State
from redrive.models.settings import Settings
from redrive.models.settings.policy import FailureRule
from redrive.models.states import Operation, Status
from redrive.scheduler.service import Scheduler
from tests.database.test_scheduler import Broker
from tests.support.world import ME, World


def add(world: World, external_id: str = "1", **more: Any) -> int:
    with world.begin() as t:
        return ledger.add(t, [NewTask(account="phones", kind="", external_id=external_id, **more)], world.rules)[0].id


def failure(world: World, task_id: int) -> str | None:
    return world.task(task_id).failure


def classify(world: World) -> int:
    with world.begin() as t:
        return ledger.classify(t, world.rules)


def merge(world: World, failures: Mapping[str, str]) -> None:
    world.rules["phones"] = replace(world.rules["phones"], failures=failures)


def rule(world: World, code: str, found: FailureRule) -> None:
    world.ruled("phones", policy={"on_failure": {code: found}, "jitter": "none"})


def test_an_added_task_has_its_code(world: World) -> None:
    merge(world, {"memory": "oom"})
    assert failure(world, add(world, "1", failure="20003", reason="app crashed")) == "20003"
    assert failure(world, add(world, "2", reason="device 5912 offline")) == "device <n> offline"
    assert failure(world, add(world, "3", reason="Out of memory at 0x7f")) == "oom"
    assert failure(world, add(world, "4")) == ""


def test_adding_it_again_fills_what_is_missing(world: World) -> None:
    task_id = add(world)
    add(world, failure="20003")
    assert failure(world, task_id) == "20003"
    add(world, failure="4711")
    assert failure(world, task_id) == "20003"


def test_work_that_failed_anew_has_a_new_code(world: World) -> None:
    task_id = add(world, status=Status.RUNNING, failure="20003", reason="old")
    add(world, failure="4711", reason="new")
    assert (failure(world, task_id), world.task(task_id).last_error) == ("4711", "new")


def test_its_owner_reports_why(world: World) -> None:
    task_id = add(world, failure="20003")
    with world.begin() as t:
        ledger.report(t, [task_id], world.rules, Status.FAILED, at=None, reason="disk 7 full")
    assert failure(world, task_id) == "disk <n> full"
    with world.begin() as t:
        ledger.report(t, [task_id], world.rules, Status.FAILED, at=None, reason="")
    assert failure(world, task_id) == "disk <n> full"


def test_only_news_of_the_work_changes_it(world: World) -> None:
    """The refusal of a retry call says nothing of why the work failed; a check that finds it failed does."""
    task_id = add(world, failure="20003")
    work = world.opened()
    world.answer(work, {task_id: Already(code="40003", message="is running")})
    world.finish(work)
    assert failure(world, task_id) == "20003"
    world.clock.forward(100)
    world.looked(Reading(state=State.FAILED, code="20201", message="no balance"))
    assert failure(world, task_id) == "20201"


def test_success_keeps_it(world: World) -> None:
    task_id = add(world, failure="20003")
    world.retried(Accepted())
    world.clock.forward(100)
    world.looked(Reading(state=State.SUCCEEDED))
    task = world.task(task_id)
    assert (task.status, task.failure) == (Status.SUCCEEDED, "20003")


def test_an_attempt_keeps_the_failure_it_answers(world: World) -> None:
    task_id = add(world, failure="20003")
    world.retried(Accepted())
    world.clock.forward(100)
    world.looked(Reading(state=State.FAILED, code="20201", mark="new"))
    world.clock.forward(10_000)
    world.retried(Accepted())
    assert [row["cause"] for row in world.attempts(task_id)] == ["20003", "20201"]


# --- rows that nobody classified ------------------------------------------------------------------------------


def bare(world: World, *external_ids: str, words: str = "device 7 offline", status: str = "failed") -> None:
    with world.begin() as t:
        for each in external_ids:
            t.execute(
                text(
                    "INSERT INTO redrive_tasks (account, kind, external_id, status, last_error) "
                    "VALUES ('phones', '', :id, :status, :words)"
                ),
                id=each,
                status=status,
                words=words,
            )


def test_rows_that_a_host_inserts_are_classified(world: World) -> None:
    bare(world, "1", "2")
    bare(world, "3", words="")
    add(world, "4", failure="20003")
    assert [task.failure for task in world.tasks().values()] == [None, None, None, "20003"]
    assert classify(world) == 3
    assert [task.failure for task in world.tasks().values()] == [
        "device <n> offline",
        "device <n> offline",
        "",
        "20003",
    ]
    assert classify(world) == 0


def test_a_slice_at_a_time(world: World) -> None:
    bare(world, *map(str, range(501)))
    assert [classify(world), classify(world), classify(world)] == [500, 1, 0]


def test_what_a_host_holds_stands_before_nothing(world: World) -> None:
    if world.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer")
    bare(world, "1", "2")
    with world.begin() as host:
        ledger.rows.locked_by_ids(host, [1])
        assert classify(world) == 1
    assert classify(world) == 1


def test_a_task_under_way_is_classified_too(world: World) -> None:
    bare(world, "1")
    world.clock.now = datetime.now(UTC) + timedelta(seconds=10)  # the row's own moment is the database's
    work = world.opened()
    assert classify(world) == 1
    world.answer(work, {1: Accepted()})
    world.finish(work)
    assert (failure(world, 1), world.task(1).status) == ("device <n> offline", Status.RETRYING)
    assert world.attempts(1)[0]["cause"] is None


def test_the_scheduler_does_it(world: World) -> None:
    bare(world, "1", words="boom")
    Scheduler(world.database, Broker(), Settings(), world.rules).run_once()
    assert failure(world, 1) == "boom"


# --- what it decides --------------------------------------------------------------------------------------------


def test_a_failure_may_be_ruled_out(world: World) -> None:
    rule(world, "20130", FailureRule(never=True))
    bad, good = add(world, "1", failure="20130"), add(world, "2", failure="20003")
    world.retried(Accepted())
    assert (world.task(bad).status, world.task(bad).dead_reason) == (Status.DEAD, "ruled_out")
    assert world.task(good).status is Status.RETRYING
    assert not world.attempts(bad)


def test_an_operators_word_comes_before_the_rule(world: World) -> None:
    rule(world, "20130", FailureRule(never=True))
    task_id = add(world, failure="20130")
    with world.begin() as t:
        ledger.act(t, "force", [task_id], world.rules, ME)
    world.retried(Accepted())
    assert world.task(task_id).status is Status.RETRYING


def test_a_ruled_out_task_that_is_revived_is_checked_and_no_more(world: World) -> None:
    rule(world, "20130", FailureRule(never=True))
    task_id = add(world, failure="20130")
    assert world.claim().dead == 1
    with world.begin() as t:
        (done,) = ledger.act(t, "revive", [task_id], world.rules, ME)
    assert f"only `redrive retry --force {task_id}` retries it" in done.hint
    world.looked(Reading(state=State.FAILED, code="20130"))
    assert world.claim().dead == 1
    assert world.task(task_id).dead_reason == "ruled_out"


def test_a_tasks_own_limit_comes_first(world: World) -> None:
    rule(world, "20130", FailureRule(never=True))
    task_id = add(world, failure="20130", max_retries=1)
    world.retried(Accepted())
    assert world.task(task_id).status is Status.RETRYING


def test_the_rule_of_the_day_decides(world: World) -> None:
    """It is not stored: whoever changes the setting changes what becomes of every task."""
    task_id = add(world, failure="20130")
    rule(world, "20130", FailureRule(never=True))
    assert world.claim().dead == 1
    other = add(world, "2", failure="20130")
    rule(world, "20130", FailureRule())
    world.retried(Accepted())
    assert world.task(other).status is Status.RETRYING
    assert world.task(task_id).status is Status.DEAD


def test_a_failure_has_a_limit_and_a_wait_of_its_own(world: World) -> None:
    rule(world, "20201", FailureRule(max_retries=1, base_seconds=900))
    short, usual = add(world, "1", failure="20201"), add(world, "2", failure="20003")
    world.retried(Accepted())
    world.clock.forward(100)
    now = world.clock.now
    found = {
        short: Reading(state=State.FAILED, code="20003", mark="a"),
        usual: Reading(state=State.FAILED, code="20201"),
    }
    work = world.begun("phones", Operation.CHECK)
    world.look(work, found)
    world.finish(work)
    assert world.task(short).status is Status.FAILED, "its failure of today has the usual limit"
    ended = world.task(usual)
    assert (ended.status, ended.dead_reason) == (Status.DEAD, "limit_reached"), "one retry was all it had"
    due_at = world.task(short).due_at
    assert due_at is not None
    assert (due_at - now).total_seconds() < 900
