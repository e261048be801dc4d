"""What a claim takes, in which order, and the neighbours that must not move."""

from dataclasses import replace
from datetime import timedelta

import pytest

from redrive.models.ledger import CallResult, due_tasks, permits
from redrive.models.outcome import (
    Accepted,
    Blocked,
    Cause,
    Deferred,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unsent,
)
from redrive.models.rules import BreakerRules
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import World

CHECK, RETRY = Operation.CHECK, Operation.RETRY


def taken(world: World, account: str = "phones", operation: Operation = RETRY) -> list[int]:
    """The ids a claim takes."""
    batch = world.claim(account, operation).batch
    return [] if batch is None else [int(i) for i in world.batch(batch.id)["task_ids"]]


# --- order -----------------------------------------------------------------------------------------------------


def test_the_urgent_first_then_the_longest_due(world: World) -> None:
    """Priority first, then age; within one claim and from one claim to the next."""
    world.ruled("phones", batch_size=2)
    ids = {}
    for name, priority in (("low", -1), ("early", 0), ("late", 0), ("later", 0), ("high", 1)):
        ids[name] = world.add(name, priority=priority)
        world.clock.forward(1)
    order = [set(taken(world)) for _ in range(3)]
    assert order == [{ids["high"], ids["early"]}, {ids["late"], ids["later"]}, {ids["low"]}]


def test_a_million_urgent_ones_of_another_account_change_nothing(world: World) -> None:
    """Each account is claimed for itself."""
    world.add_many([str(n) for n in range(20)], "desktops", priority=1)
    mine = world.add("mine", priority=-1)
    assert taken(world) == [mine]


def test_neighbours_do_not_move(world: World) -> None:
    """Not yet due, spent, held, at work, to be checked first, ended, or of another account: only the due one goes."""
    due = world.add("due")
    not_yet, look, held, ended, resting, working = world.add_many(["not yet", "look", "held", "ended", "rest", "work"])
    other = world.add("other", "desktops")
    world.put(not_yet, due_at=world.clock.now + timedelta(seconds=1))
    world.put(look, next="check")
    world.act("hold", held)
    world.act("stop", ended)
    world.ruled("phones", policy={"retry_canceled": False})
    world.put(resting, status="canceled", due_at=None)
    world.report(working, Status.RUNNING)
    before = world.tasks()
    assert taken(world) == [due]
    after = world.tasks()
    assert {i for i in after if after[i] != before[i]} == {due}
    assert after[other].status is Status.FAILED


def test_a_paused_accounts_tasks_wait(world: World) -> None:
    """Nothing of it is claimed, nothing dies, nothing moves; the others go on."""
    mine, other = world.add(), world.add("1", "desktops")
    world.pause("phones")
    before = world.task(mine)
    world.clock.forward(86_400 * 30)
    assert taken(world) == []
    assert world.task(mine) == before
    assert taken(world, "desktops") == [other]
    world.resume("phones")
    assert taken(world) == [mine]


def test_checks_wait_while_paused(world: World) -> None:
    world.accepted()
    world.pause("phones")
    world.clock.forward(3600)
    assert taken(world, operation=CHECK) == []


def test_the_spent_are_dead_at_the_claim(world: World) -> None:
    """The limit is asked again at each claim, so lowering it counts at once; what is left still goes."""
    spent, left = world.add_many(["spent", "left"])
    world.put(spent, attempts=2, spent=2)
    world.ruled("phones", policy={"max_retries": 2})
    claim = world.claim()
    assert (claim.dead, claim.examined) == (1, 2)
    assert claim.batch is not None
    assert claim.batch.size == 1
    assert world.task(spent).dead_reason == "limit_reached"
    assert world.task(left).status is Status.IN_FLIGHT
    assert world.totals() == {"dead:limit_reached": 1}


def test_the_providers_cap_wins(world: World) -> None:
    """Whatever a task's own limit and its grants say."""
    task = world.add(max_retries=50)
    world.put(task, attempts=5, spent=5, granted=50)
    world.claim()
    assert world.task(task).dead_reason == "limit_reached"


def test_a_canceled_task_rests_where_the_policy_says_so(world: World) -> None:
    """Until somebody asks for it."""
    task = world.add()
    world.put(task, status="canceled")
    world.ruled("phones", policy={"retry_canceled": False})
    assert taken(world) == []
    assert world.task(task).due_at is None
    world.act("retry", task)
    assert taken(world) == [task]


# --- how much --------------------------------------------------------------------------------------------------


def test_no_more_batches_than_the_window_allows(world: World) -> None:
    """Per operation; an ended batch makes room for the next."""
    world.ruled("phones", batch_size=1, max_in_flight=2)
    world.add_many("abcd")
    first, second = world.begun(), world.begun()
    assert taken(world) == []
    world.finish(first)
    assert len(taken(world)) == 1
    assert world.batch(second.id)["status"] == "sending"


@pytest.mark.parametrize(("interval", "expected"), [(1.0, 11), (6.0, 2), (30.0, 1), (60.0, 1), (100.0, 1)])
def test_what_can_be_sent_soon(world: World, interval: float, expected: int) -> None:
    """In ten seconds at the account's pace, with one id per call, the first of them at once."""
    world.ruled("desktops", interval_seconds=interval)
    world.add_many([str(n) for n in range(100)], "desktops")
    assert len(taken(world, "desktops")) == expected
    assert taken(world, "desktops") == []


def test_many_ids_per_call_are_many_tasks(world: World) -> None:
    """Where a call takes a hundred ids, a slow pace still moves a hundred tasks."""
    world.ruled("phones", interval_seconds=100.0)
    world.add_many([str(n) for n in range(150)])
    assert len(taken(world)) == 100


def test_both_paths_of_an_account_count(world: World) -> None:
    """Reviews and their rules have a path each, and each path has its own pace."""
    world.ruled("reviews", interval_seconds=6.0)
    world.add_many([str(n) for n in range(10)], "reviews")
    for n in range(10):
        world.put(world.add(str(100 + n), "reviews", sub_id="1"), seen=SEEN)
    assert len(taken(world, "reviews")) == 4


SEEN = {
    "state": "failed",
    "mark": "",
    "at": "2026-03-01T11:00:00+00:00",
    "first_at": "2026-03-01T11:00:00+00:00",
    "number": 0,
}


def test_a_path_that_is_not_free_within_half_a_lease(world: World) -> None:
    """A penalty on one path leaves the other kind alone: only what can be sent is claimed."""
    review = world.add("1", "reviews")
    rule = world.add("2", "reviews", sub_id="1")
    world.put(rule, seen=SEEN)
    with world.begin() as t:
        permits.penalize(t, world.rules["reviews"], [("/review/task/retry", Throttled(wait_seconds=61.0))])
    assert taken(world, "reviews") == [rule]
    world.clock.forward(1)
    assert taken(world, "reviews") == [review]


def test_a_group_wide_penalty_stops_all_of_the_group(world: World) -> None:
    """Every path of every account that shares the group, retries and checks alike."""
    world.ruled("desktops", group="shared")
    world.ruled("phones", group="shared")
    world.accepted("1", "desktops")
    world.add("2", "desktops")
    world.add("3")
    world.add("4", "reviews")
    world.clock.forward(60)
    with world.begin() as t:
        permits.penalize(t, world.rules["phones"], [("/x", Throttled(wait_seconds=7200.0, whole_account=True))])
    assert taken(world) == taken(world, "desktops") == taken(world, "desktops", CHECK) == []
    assert len(taken(world, "reviews")) == 1
    world.clock.forward(7200 - 60)
    assert len(taken(world)) == len(taken(world, "desktops")) == len(taken(world, "desktops", CHECK)) == 1


# --- what excludes each other ----------------------------------------------------------------------------------


def test_a_review_and_its_rules_are_never_in_one_claim(world: World) -> None:
    """The whole or its rules, never both; rules of one review go together, and other reviews do not care."""
    whole = world.add("1", "reviews")
    rules = [world.add("1", "reviews", sub_id=str(n)) for n in (11, 12)]
    other = world.add("2", "reviews", sub_id="21")
    for rule in (*rules, other):
        world.put(rule, seen=SEEN)
    assert taken(world, "reviews") == [whole, other]
    for rule in rules:
        assert world.task(rule).due_at == world.clock.now + timedelta(seconds=30)


@pytest.mark.parametrize("status", ["in_flight", "retrying", "unknown", "open"])
def test_a_review_waits_for_its_rules(world: World, status: str) -> None:
    """Also for those claimed before, followed, doubtful, or reported as ended while their call is under way."""
    rules = [world.add("1", "reviews", sub_id=str(n)) for n in (11, 12)]
    for rule in rules:
        world.put(rule, seen=SEEN)
    work = world.opened("reviews") if status != "in_flight" else world.begun("reviews")
    if status == "open":
        for rule in rules:
            world.report(rule, Status.SUCCEEDED)
    elif status != "in_flight":
        world.answer(work, Accepted() if status == "retrying" else Unknown())
    whole = world.add("1", "reviews")
    assert taken(world, "reviews") == []
    assert world.task(whole).due_at == world.clock.now + timedelta(seconds=30)


def test_an_open_attempt_stands_in_the_way_of_its_own_task(world: World) -> None:
    """Reported succeeded and failed again while its call is under way: the next retry waits for the answer."""
    task = world.add()
    work = world.opened()
    world.report(task, Status.SUCCEEDED)
    world.clock.forward(1)
    world.report(task, Status.FAILED)
    assert taken(world) == []
    world.answer(work, Accepted())
    assert (world.task(task).spent, world.task(task).status) == (1, Status.FAILED)
    world.clock.forward(30)
    assert taken(world) == [task]


# --- looks first -----------------------------------------------------------------------------------------------


def test_a_rule_is_checked_before_its_first_retry(world: World) -> None:
    rule = world.add("1", "reviews", sub_id="11")
    assert taken(world, "reviews") == []
    assert taken(world, "reviews", CHECK) == [rule]


def test_always_check_first_checks_once(world: World) -> None:
    """A check that was just made is not made again: the retry follows."""
    world.ruled("phones", policy={"check_before_retry": "always"})
    task = world.add()
    assert taken(world) == []
    world.looked(Reading(state=State.FAILED))
    world.retried(Accepted())
    world.clock.forward(61)
    world.looked(Reading(state=State.FAILED))
    world.clock.forward(61)
    assert taken(world) == []
    world.looked(Reading(state=State.FAILED))
    assert taken(world) == [task]


def test_always_check_first_checks_once_at_what_is_not_shown(world: World) -> None:
    """The retry call is the authority, and it is reached."""
    world.ruled("phones", policy={"check_before_retry": "always"})
    task = world.add()
    assert taken(world) == []
    work = world.begun("phones", CHECK)
    asked_at = world.clock.now
    world.clock.forward(1)
    world.look(work, Reading(state=State.MISSING), asked_at=asked_at)
    world.finish(work)
    assert taken(world) == [task]


def test_a_claimed_check_is_due_again_by_itself(world: World) -> None:
    """After a lease, whatever became of its batch."""
    task = world.accepted()
    world.clock.forward(30)
    assert taken(world, operation=CHECK) == [task]
    world.clock.forward(119)
    assert taken(world, operation=CHECK) == []
    world.clock.forward(1)
    assert taken(world, operation=CHECK) == [task]


# --- probes ----------------------------------------------------------------------------------------------------


def open_breaker(world: World) -> None:
    world.ruled("phones", breaker=BreakerRules(failures=1, open_seconds=30), policy={"base_seconds": 0.001})
    world.retried(Deferred(message="connection refused"))


def test_an_open_breaker_lets_nothing_through_and_then_one(world: World) -> None:
    """The least spent of the due; nothing else until it ends."""
    ids = world.add_many("abc")
    open_breaker(world)
    for task, spent in zip(ids, (2, 0, 1), strict=True):
        world.put(task, attempts=spent + 1, spent=spent)
    world.clock.forward(29)
    assert taken(world) == []
    world.clock.forward(1)
    assert taken(world) == [ids[1]]
    assert taken(world) == []


def test_a_probe_that_goes_through_closes_the_breaker(world: World) -> None:
    world.add_many("abc")
    open_breaker(world)
    world.clock.forward(30)
    world.retried(Accepted())
    assert len(taken(world)) == 2


@pytest.mark.parametrize("ending", ["fails", "says nothing", "is lost"])
def test_a_probe_that_does_not_opens_it_for_longer(world: World, ending: str) -> None:
    """Failing, given back unsent, or lost with its worker: 30 s become 60."""
    world.add_many("abc")
    open_breaker(world)
    world.clock.forward(30)
    work = world.opened() if ending != "says nothing" else world.begun()
    if ending == "fails":
        world.answer(work, Unknown(message="timeout"))
    if ending == "is lost":
        world.clock.forward(120)
        world.rescue(work.id)
    else:
        world.finish(work)
    world.clock.forward(59)
    assert taken(world) == []
    world.clock.forward(1)
    assert len(taken(world)) == 1


def test_only_the_probe_may_call_while_the_breaker_is_open(world: World) -> None:
    """A batch claimed before the breaker opened gives back what it has not sent."""
    world.ruled("phones", batch_size=1, breaker=BreakerRules(failures=1))
    world.add_many("ab")
    late = world.begun()
    world.retried(Unknown(message="timeout"))
    step = world.open(late)
    assert (step.permits, step.stop) == ((), True)
    world.finish(late)
    assert world.task(late.tasks[0].id).status is Status.FAILED


def test_the_two_operations_have_a_breaker_each(world: World) -> None:
    """A status call that does not answer stops the checks, not the retries."""
    world.ruled("phones", breaker=BreakerRules(failures=1))
    world.accepted("a")
    world.clock.forward(30)
    world.looked(Unknown(message="timeout"))
    world.add("b")
    assert len(taken(world)) == 1
    world.clock.forward(29)
    assert taken(world, operation=CHECK) == []


def test_rescues_do_not_open_the_breaker(world: World) -> None:
    """A worker that dies says nothing about the provider."""
    world.ruled("phones", breaker=BreakerRules(failures=1))
    world.add_many("ab")
    world.ruled("phones", batch_size=1)
    work = world.opened()
    world.clock.forward(120)
    world.rescue(work.id)
    assert len(taken(world)) == 1


def test_an_empty_balance_is_probed_by_one_task_each_half_hour(world: World) -> None:
    """Nothing else is claimed meanwhile, and the pause ends by itself when the probe goes through."""
    world.add_many("abc")
    world.retried(Blocked(cause=Cause.BALANCE, code="41001"))
    world.clock.forward(1799)
    assert taken(world) == []
    world.clock.forward(1)
    probe = world.opened()
    assert len(probe.tasks) == 1
    assert taken(world) == []
    world.answer(probe, Blocked(cause=Cause.BALANCE, code="41001"))
    world.finish(probe)
    world.clock.forward(1799)
    assert taken(world) == []
    world.clock.forward(1)
    world.retried(Accepted())
    assert world.account()["paused_at"] is None
    assert len(taken(world)) == 2


@pytest.mark.parametrize("answer", [Deferred(), Unknown(), Throttled(wait_seconds=1.0), Unsent()], ids=lambda a: a.name)
def test_a_probe_without_a_word_about_its_task_proves_nothing(world: World, answer: Deferred | Unknown) -> None:
    """Only an answer about the task itself says that the account is served again."""
    world.add_many("ab")
    world.retried(Blocked(cause=Cause.BALANCE))
    world.clock.forward(1800)
    world.retried(answer)
    assert world.account()["paused_cause"] == "balance"
    world.clock.forward(60)
    assert taken(world) == []


def test_a_probe_may_need_a_check_first(world: World) -> None:
    """Else an account whose every retry needs one would stay paused for ever."""
    rule = world.add("1", "reviews", sub_id="11")
    world.put(rule, seen=SEEN)
    world.retried(Blocked(cause=Cause.BALANCE), "reviews")
    world.put(rule, seen=None)
    world.clock.forward(1800)
    assert taken(world, "reviews") == []
    world.looked(Reading(state=State.FAILED), "reviews")
    assert world.account("reviews")["paused_cause"] == "balance"
    assert taken(world, "reviews") == [rule]


def test_a_probe_stops_for_an_operator(world: World) -> None:
    """A probe of the breaker is no reason to call for an account that was paused meanwhile."""
    world.add_many("ab")
    open_breaker(world)
    world.clock.forward(30)
    probe = world.begun()
    world.pause()
    assert world.open(probe).permits == ()


def test_a_probe_waits_for_its_path(world: World) -> None:
    """A half-open breaker behind a two-hour penalty claims nothing that could not be sent."""
    world.add_many("ab")
    open_breaker(world)
    with world.begin() as t:
        permits.penalize(t, world.rules["phones"], [("/open/v1/task/restart", Throttled(wait_seconds=7200.0))])
    world.clock.forward(31)
    assert taken(world) == []


def test_the_least_spent_is_sought_among_the_first_hundred(world: World) -> None:
    world.ruled("phones", breaker=BreakerRules(failures=1, open_seconds=30), policy={"base_seconds": 0.001})
    world.ruled("phones", batch_size=1)
    world.add("first")
    world.retried(Unknown(message="timeout"))
    ids = sorted(world.add_many([str(n) for n in range(due_tasks.PROBE_CHOICE + 1)]))
    for task in ids[:-2]:
        world.put(task, attempts=1, spent=1)
    world.clock.forward(30)
    assert taken(world) == [ids[-2]]


def test_a_claim_of_another_provider_takes_nothing(world: World) -> None:
    """Settings that name another provider than the row: its tasks would go to the wrong one."""
    world.add()
    world.rules["phones"] = replace(world.rules["phones"], capabilities=world.rules["desktops"].capabilities)
    assert taken(world) == []


def test_a_dead_end_is_told(world: World) -> None:
    """A refusal of one task ends that one alone."""
    one, two = world.add_many("ab")
    work = world.opened()
    path = "/open/v1/task/restart"
    refused = Refused(reason=DeadReason.NOT_FOUND, code="48002", message="no such task")
    world.advance(work, [CallResult(path, world.clock.now, {one: refused, two: Accepted()})])
    assert world.task(one).dead_reason == "not_found"
    assert world.task(one).last_error == "no such task"
    assert world.task(two).status is Status.RETRYING
