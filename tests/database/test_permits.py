"""Permits: when calls may leave, across everybody who shares a path."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from redrive.models.ledger import permits
from redrive.models.ledger.retry_step import LEAD_SECONDS
from redrive.models.outcome import Accepted, Already, Outcome, Reading, Refused, State, Throttled, Unknown
from redrive.models.rules import GROUP_WIDE, Rules
from redrive.models.sql.tables import limits
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import World, make_rules

PATH = "/open/v1/task/restart"
QUERY = "/open/v1/task/query"


def take(world: World, rules: Rules, wanted: dict[str, int], within: float = 1.0) -> dict[str, list[datetime]]:
    with world.begin() as t:
        return permits.take(t, rules, wanted, world.clock.now + timedelta(seconds=within))


def penalize(world: World, rules: Rules, *told: tuple[str, Throttled]) -> None:
    with world.begin() as t:
        permits.penalize(t, rules, told)


def gaps(moments: Sequence[datetime]) -> list[float]:
    ordered = sorted(moments)
    return [(b - a).total_seconds() for a, b in pairwise(ordered)]


def forget(world: World) -> None:
    with world.begin() as t:
        t.execute(delete(limits))


events = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from("ab"), st.integers(1, 6), st.sampled_from([0.5, 1.0, 30.0])),
        st.tuples(st.just("wait"), st.floats(0, 20)),
        st.tuples(st.just("penalty"), st.sampled_from("ab"), st.floats(0, 60), st.booleans()),
        st.tuples(st.just("unnamed"), st.sampled_from("ab")),
    ),
    max_size=25,
)


@settings(
    max_examples=60,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=events)
def test_pace_and_penalties_hold_in_every_sequence(world: World, events: list[tuple[object, ...]]) -> None:
    """Two accounts of a group, two paths: moments of a path are an interval apart, and no penalty is forgotten."""
    forget(world)
    accounts = {
        name: make_rules(name, world.rules["phones"].capabilities, group="both", interval_seconds=2.5) for name in "ab"
    }
    given_out: dict[str, list[datetime]] = {PATH: [], QUERY: []}
    until = dict.fromkeys(given_out, world.clock.now)
    for event in events:
        match event:
            case ("take", str(name), int(n), float(within)):
                found = take(world, accounts[name], {PATH: n, QUERY: 1}, within)
                for path, moments in found.items():
                    assert all(world.clock.now <= m <= world.clock.now + timedelta(seconds=within) for m in moments)
                    assert all(moment >= until[path] for moment in moments)
                    given_out[path] += moments
            case ("wait", float(seconds)):
                world.clock.forward(seconds)
            case ("penalty", str(name), float(seconds), bool(everywhere)):
                penalize(world, accounts[name], (PATH, Throttled(wait_seconds=seconds, whole_account=everywhere)))
                for path in given_out if everywhere else (PATH,):
                    until[path] = max(until[path], world.clock.now + timedelta(seconds=seconds))
            case ("unnamed", str(name)):
                penalize(world, accounts[name], (PATH, Throttled()))
                until[PATH] = max(until[PATH], world.clock.now + timedelta(seconds=5))
        for moments in given_out.values():
            assert all(gap >= 2.5 for gap in gaps(moments))


def test_no_burst_after_a_rest(world: World) -> None:
    """An hour without calls earns nothing: the pace starts where it stood."""
    rules = world.ruled("phones", interval_seconds=0.25)
    take(world, rules, {PATH: 1})
    world.clock.forward(3600)
    found = take(world, rules, {PATH: 10})[PATH]
    assert len(found) == 5
    assert set(gaps(found)) == {0.25}


def test_a_permit_is_taken_even_if_nothing_is_sent(world: World) -> None:
    """A permit is never given back: what was planned for it may have left."""
    rules = world.ruled("phones", interval_seconds=60.0)
    assert len(take(world, rules, {PATH: 1})[PATH]) == 1
    assert take(world, rules, {PATH: 1})[PATH] == []
    world.clock.forward(59)
    assert len(take(world, rules, {PATH: 1})[PATH]) == 1


def test_paths_do_not_care_about_each_other(world: World) -> None:
    rules = world.ruled("phones", interval_seconds=60.0)
    penalize(world, rules, (PATH, Throttled(wait_seconds=7200.0)))
    assert take(world, rules, {PATH: 1, QUERY: 1}) == {PATH: [], QUERY: [world.clock.now]}


def test_a_shorter_penalty_does_not_end_a_longer_one(world: World) -> None:
    """Two answers may come in any order; the longest wait stands."""
    rules = world.rules["phones"]
    penalize(world, rules, (PATH, Throttled(wait_seconds=7200.0, code="40014", message="locked")))
    penalize(world, rules, (PATH, Throttled(wait_seconds=60.0, code="40007")))
    row = world.limit(PATH)
    assert row["blocked_until"] == world.clock.now + timedelta(hours=2)
    assert row["why"] == "code 40014: locked"


def test_an_unnamed_wait_grows_until_a_call_goes_through(world: World) -> None:
    """5, 10, 20 s … ten minutes at most; a call that went through ends the growth."""
    rules = world.rules["phones"]
    waits = []
    for _ in range(9):
        penalize(world, rules, (PATH, Throttled()))
        blocked = world.limit(PATH)["blocked_until"]
        waits.append((blocked - world.clock.now).total_seconds())
        world.clock.now = blocked
    assert waits == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    world.add()
    world.retried(Unknown())
    assert world.limit(PATH)["throttles"] == 9
    world.add("2")
    world.retried(Accepted())
    assert world.limit(PATH)["throttles"] == 0
    assert world.limit(PATH)["why"] == ""


def test_an_old_success_does_not_end_a_penalty(world: World) -> None:
    """A call that left before the penalty says nothing about it."""
    rules = world.rules["phones"]
    world.add()
    work = world.opened()
    penalize(world, rules, (PATH, Throttled(wait_seconds=60.0)))
    world.answer(work, Accepted())
    assert world.limit(PATH)["throttles"] == 1
    assert take(world, rules, {PATH: 1})[PATH] == []


def test_a_throttling_answer_moves_the_path_and_not_the_task(world: World) -> None:
    """The task is due at once and waits with its path; nothing is spent."""
    task = world.add()
    world.retried(Throttled(wait_seconds=7200.0, code="40014"))
    assert world.task(task).due_at == world.clock.now
    assert (world.task(task).spent, world.task(task).errors) == (0, 0)
    assert world.claim().batch is None
    world.clock.forward(7200 - 60)
    assert world.claim().batch is not None


def test_the_whole_account_waits_where_the_answer_says_so(world: World) -> None:
    task = world.accepted()
    world.add("2")
    world.retried(Throttled(wait_seconds=600.0, whole_account=True))
    assert world.limit(GROUP_WIDE)["blocked_until"] == world.clock.now + timedelta(seconds=600)
    world.clock.forward(500)
    assert world.task(task).due_at is not None
    with world.begin() as t:
        found = permits.paths_of(t, world.rules["phones"])
        assert permits.free_at(found, "/never/called", t.now) == world.clock.now + timedelta(seconds=100)


def test_a_slice_opens_what_may_leave_soon(world: World) -> None:
    """And no more: what a crash finds open is spent."""
    world.ruled("desktops", interval_seconds=0.5)
    world.add_many([str(n) for n in range(10)], "desktops")
    work = world.begun("desktops")
    step = world.open(work)
    assert len(step.permits) == 3
    assert len(step.granted) == 3
    leaves = [permit.leave_after for permit in step.permits]
    assert [round(b - a, 6) for a, b in pairwise(leaves)] == [0.5, 0.5]
    assert world.open(work).permits == ()
    assert sum(len(world.attempts(task.id)) for task in work.tasks) == 3


def test_a_call_a_second_is_one_step_each(world: World) -> None:
    """Whoever records an answer opens the next call, and learns when it is worth asking for the one after it."""
    world.ruled("desktops", interval_seconds=1.033)
    ids = world.add_many("abcd", "desktops")
    work = world.begun("desktops")
    step = world.open(work, ids)
    assert [permit.tasks[0].id for permit in step.permits] == ids[:2]
    for number in 2, 3:
        assert step.wait_until is not None
        assert round(step.wait_until - step.permits[-1].leave_after, 3) == round(1.033 - LEAD_SECONDS, 3)
        world.clock.forward(1.05)
        told = world.told(work, {permit.tasks[0].id: Accepted() for permit in step.permits})
        step = world.advance(work, [told], world.groups(work, ids[number:]))
        assert [permit.tasks[0].id for permit in step.permits] == [ids[number]]
    assert step.wait_until is None, "nothing is left to ask for"


@pytest.mark.parametrize("account", ["phones", "desktops"])
def test_a_step_says_when_to_come_again(world: World, account: str) -> None:
    """Where no permit was to be had, the worker learns when the path is free, on its own clock."""
    world.ruled(account, interval_seconds=45.0)
    world.add("1", account)
    work = world.begun(account)
    take(world, world.rules[account], {world.groups(work)[0].path: 1})
    step = world.open(work)
    assert step.permits == ()
    assert step.wait_until is not None
    assert abs(work.deadline - step.wait_until - (120 - 45)) < 5


REMAINING = Reading(state=State.RUNNING, pace=40.0)


@pytest.mark.parametrize("operation", Operation)
def test_an_answer_that_asks_for_a_slower_pace_moves_its_path(world: World, operation: Operation) -> None:
    """Before anybody is refused: the next call waits, and no later wait grows by it."""
    world.accepted("1")
    world.clock.forward(30)
    if operation is Operation.CHECK:
        path = QUERY
        world.looked(REMAINING)
        assert world.task(1).status is Status.RETRYING
    else:
        path = PATH
        world.add("2")
        world.retried(Accepted(pace=40.0))
        assert world.task(2).status is Status.RETRYING
    row = world.limit(path)
    assert row["blocked_until"] == world.clock.now + timedelta(seconds=40)
    assert (row["throttles"], row["blocked_seconds"]) == (0, 40)
    assert "slow down" in row["why"]
    penalize(world, world.rules["phones"], (path, Throttled()))
    assert world.limit(path)["blocked_until"] == world.clock.now + timedelta(seconds=40)
    world.clock.forward(40)
    assert take(world, world.rules["phones"], {path: 1})[path] == [world.clock.now]


@pytest.mark.parametrize(
    "answer", [Unknown(pace=40.0), Already(pace=40.0), Refused(reason=DeadReason.REFUSED, pace=40.0)]
)
def test_whatever_the_answer_means(world: World, answer: Outcome) -> None:
    world.add("1")
    world.retried(answer)
    assert world.limit(PATH)["blocked_until"] == world.clock.now + timedelta(seconds=40)


def test_a_pace_that_is_kept_already_costs_nothing(world: World) -> None:
    """A provider names one with every answer; only one that is slower than ours is written."""
    rules = world.ruled("desktops", interval_seconds=30.0)
    world.add_many("ab", "desktops")
    work = world.begun("desktops")
    world.open(work, [1])
    path = world.groups(work)[0].path
    with world.statements() as seen:
        world.answer(work, {1: Accepted(pace=20.0)})
    assert not [statement for statement in seen if statement.startswith("UPDATE redrive_limits")]
    with world.database.reading() as t:
        assert permits.paths_of(t, rules)[path].blocked_until is None


def test_the_slowest_of_many_answers_counts(world: World) -> None:
    ids = world.add_many("abc")
    work = world.opened()
    world.answer(work, {i: Accepted(pace=pace) for i, pace in zip(ids, (1.0, 40.0, None), strict=True)})
    assert world.limit(PATH)["blocked_until"] == world.clock.now + timedelta(seconds=40)


def test_a_slower_pace_does_not_shorten_a_penalty(world: World) -> None:
    world.add_many("ab")
    work = world.opened()
    penalize(world, world.rules["phones"], (PATH, Throttled(wait_seconds=600.0, code="40014")))
    world.answer(work, Accepted(pace=40.0))
    row = world.limit(PATH)
    assert (row["why"], row["throttles"]) == ("code 40014", 1)
    assert row["blocked_until"] == world.clock.now + timedelta(seconds=600)


@pytest.mark.parametrize("pace", [0.0, -5.0, float("nan"), "soon"])
def test_a_pace_that_is_none_is_ignored(world: World, pace: Any) -> None:
    world.add("1")
    world.retried(Accepted(pace=pace))
    assert world.limit(PATH)["blocked_until"] is None
