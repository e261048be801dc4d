"""The breaker counts silence by the call, and the provider's own faults by the task; an answer is no outage."""

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from redrive.models.ledger import CallResult, breaker
from redrive.models.ledger.health import CallHealth, call_of
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Deferred,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.rules import BreakerRules
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import World

FAILURES = BreakerRules().failures
FAULT = Unknown(answered=True, code="50000", message="internal error")
STRANGE = Unreadable(code="200", message="record status 'SOMETHING_NEW' is not known")


def state(world: World, account: str = "desktops", operation: Operation = Operation.RETRY) -> breaker.Breaker:
    with world.database.reading() as t:
        return breaker.load(t, account, operation)


def is_open(world: World, account: str = "desktops", operation: Operation = Operation.RETRY) -> bool:
    return state(world, account, operation).open_until is not None


def retried_again(world: World, task_id: int, outcome: Outcome, account: str = "desktops") -> None:
    """One call about a task, wherever an earlier answer has left it; nobody else is asked about."""
    world.clock.forward(1)
    world.put(task_id, status="failed", next="retry", due_at=world.clock.now, held_from=None, dead_reason=None, spent=0)
    work = world.opened(account)
    for task in work.tasks:
        world.answer(work, {task.id: outcome if task.id == task_id else Unsent()})
    world.finish(work)


def checked(world: World, results: Sequence[CheckResult], account: str = "desktops") -> list[int]:
    """Tasks whose retry was accepted, each checked by a call of its own in one batch."""
    world.clock.forward(1)
    ids = world.add_many([f"{world.clock.now} {n}" for n in range(len(results))], account)
    work = world.opened(account)
    world.answer(work, Accepted())
    world.finish(work)
    world.clock.forward(30)
    checked_again(world, dict(zip(ids, results, strict=True)), account)
    return ids


def checked_again(world: World, results: dict[int, CheckResult], account: str = "desktops") -> None:
    for task_id in results:
        world.put(task_id, due_at=world.clock.now)
    work = world.begun(account, Operation.CHECK)
    for task_id, look in results.items():
        world.look(work, {task_id: look})
    world.finish(work)


@pytest.mark.parametrize("account", ["desktops", "reviews", "phones"])
@pytest.mark.parametrize("strange", [STRANGE, Unreadable(http_status=200, code="400", message="no such review")])
def test_answers_that_nobody_understands_are_no_outage(world: World, account: str, strange: CheckResult) -> None:
    """However many tasks have one, and however often, the others are checked at their time."""
    ids = checked(world, [strange] * (2 * FAILURES), account)
    for _ in range(3):
        world.clock.forward(300)
        checked_again(world, dict.fromkeys(ids, strange), account)
    assert state(world, account, Operation.CHECK) == breaker.Breaker()
    good = checked(world, [Reading(state=State.SUCCEEDED)] * 3, account)
    assert {world.task(task_id).status for task_id in good} <= {Status.SUCCEEDED, Status.RETRYING}


@pytest.mark.parametrize(
    "silence",
    [
        Unknown(http_status=502, message="HTTP 502"),
        Unknown(message="the connection broke"),
        Unknown(http_status=200, message="not JSON"),
        Deferred(message="connection refused"),
    ],
    ids=lambda each: each.message,
)
def test_silence_opens_it(world: World, silence: Unknown | Deferred) -> None:
    """Broken connections, foreign bodies, errors of gateways: every call counts, of checks and of retries."""
    ids = checked(world, [silence] * (FAILURES - 1))
    assert not is_open(world, operation=Operation.CHECK)
    checked_again(world, {ids[0]: silence})
    assert is_open(world, operation=Operation.CHECK)
    (task_id,) = world.add_many(["again and again"], "desktops")
    for _ in range(FAILURES):
        assert not is_open(world)
        retried_again(world, task_id, silence)
    assert is_open(world)


def test_a_task_that_trips_the_provider_opens_nothing_alone(world: World) -> None:
    """Asked about again and again, it is one task; its neighbours go on."""
    (task_id,) = world.add_many(["poisoned"], "desktops")
    for _ in range(4 * FAILURES):
        retried_again(world, task_id, FAULT)
    assert not is_open(world)
    assert state(world).suspects == (task_id,)
    (checked_id,) = checked(world, [FAULT])
    for _ in range(4 * FAILURES):
        world.clock.forward(300)
        checked_again(world, {checked_id: FAULT})
    assert not is_open(world, operation=Operation.CHECK)


def test_an_outage_that_speaks_opens_it_by_so_many_tasks(world: World) -> None:
    """An hour of a provider's code for its own fault costs as many tasks as silence costs calls."""
    for n in range(FAILURES):
        assert not is_open(world)
        retried_again(world, world.add(f"{n}", "desktops"), FAULT)
    found = state(world)
    assert (found.failures, found.why) == (FAILURES, "internal error")
    assert len(found.suspects) == FAILURES
    checked(world, [FAULT] * FAILURES, "reviews")
    assert is_open(world, "reviews", Operation.CHECK)


def test_the_tasks_of_one_call_count_each(world: World) -> None:
    """A call about many says of each of them what a call of its own would."""
    world.add_many([str(n) for n in range(FAILURES)])
    world.retried(FAULT)
    assert is_open(world, "phones")


def test_silence_and_faults_add_up(world: World) -> None:
    ids = world.add_many("ab", "desktops")
    for answer in (FAULT, Unknown(message="broken"), FAULT, Unknown(message="broken")):
        retried_again(world, ids[0], answer)
    assert state(world).failures == 3
    retried_again(world, ids[1], FAULT)
    assert state(world).suspects == (ids[0], ids[1])
    retried_again(world, ids[1], Unknown(message="broken"))
    assert is_open(world)


@pytest.mark.parametrize("usable", [Accepted(), Already(code="409"), Refused(reason=DeadReason.NOT_FOUND)])
def test_a_usable_answer_clears_everybody(world: World, usable: Outcome) -> None:
    ids = world.add_many([str(n) for n in range(FAILURES)], "desktops")
    for task_id in ids[1:]:
        retried_again(world, task_id, FAULT)
    retried_again(world, ids[0], usable)
    assert state(world) == breaker.Breaker()


@pytest.mark.parametrize("usable", [Reading(state=State.RUNNING), STRANGE, Throttled(wait_seconds=0.001)])
def test_a_usable_check_clears_everybody(world: World, usable: CheckResult) -> None:
    checked(world, [Unknown(message="broken")] * (FAILURES - 1) + [usable] + [Unknown(message="broken")])
    assert state(world, operation=Operation.CHECK).failures == 1


@pytest.mark.parametrize("of_task", [Deferred(of_task=True, message="no call for it"), Unsent()])
def test_what_was_never_sent_because_of_its_task_says_nothing(world: World, of_task: Outcome) -> None:
    """It neither counts nor ends a row of calls that were not answered."""
    for n in range(FAILURES - 1):
        retried_again(world, world.add(f"{n}", "desktops"), Unknown(message="broken"))
    for n in range(FAILURES):
        retried_again(world, world.add(f"no call {n}", "desktops"), of_task)
    assert state(world).failures == FAILURES - 1
    retried_again(world, world.add("last", "desktops"), Unknown(message="broken"))
    assert is_open(world)


def test_late_good_news_changes_nothing_of_an_open_one(world: World) -> None:
    """What was under way when it opened may still end well; only its probe closes it, and the suspects stay known."""
    world.ruled("desktops", batch_size=1, max_in_flight=FAILURES + 2)
    world.add_many([str(n) for n in range(FAILURES + 1)], "desktops")
    works = [world.opened("desktops") for _ in range(FAILURES + 1)]
    for work in works[:-1]:
        world.answer(work, FAULT)
    before = state(world)
    world.answer(works[-1], Accepted())
    assert state(world) == before
    assert len(before.suspects) == FAILURES


@pytest.mark.parametrize(("answer", "opens"), [(Accepted(), 0), (FAULT, 2), (Unknown(message="broken"), 2)])
def test_a_probe_decides_whoever_it_is(world: World, answer: Outcome, opens: int) -> None:
    """Also one that is a suspect, where there is nobody else."""
    (task_id,) = world.add_many(["only one"], "desktops")
    retried_again(world, task_id, FAULT)
    for _ in range(FAILURES - 1):
        retried_again(world, task_id, Unknown(message="broken"))
    assert is_open(world)
    world.clock.forward(30)
    retried_again(world, task_id, answer)
    assert (state(world).opens, state(world).probe) == (opens, None)
    assert is_open(world) == (opens > 0)


def test_the_schema_before_counts_every_call(world: World) -> None:
    """It has nowhere to keep suspects: nothing new is read or written."""
    world.database.level = 1
    (task_id,) = world.add_many(["1"], "desktops")
    for _ in range(FAILURES):
        retried_again(world, task_id, FAULT)
    assert is_open(world)
    with world.begin() as t:
        found = t.rows(breaker.limit_rows.selected(2))
    assert {row.suspects for row in found if row.path == "#retry"} == {None}


def told(*answers: Outcome | CheckResult) -> dict[int, Any]:
    return dict(enumerate(answers))


@pytest.mark.parametrize(
    ("answers", "call"),
    [
        ([Unsent()], None),
        ([Deferred(of_task=True), Unsent()], None),
        ([Deferred(message="refused"), Unsent()], CallHealth("refused")),
        ([Deferred(of_task=True), Unknown(message="broken")], CallHealth("broken")),
        ([Unknown(), FAULT], CallHealth("internal error", frozenset({1}))),
        ([Unknown(answered=True, code="500")], CallHealth("500", frozenset({0}))),
        ([Unknown()], CallHealth("unknown")),
        ([Unknown(), Accepted()], CallHealth()),
        ([FAULT, STRANGE], CallHealth()),
        ([Blocked(cause=Cause.BALANCE)], CallHealth()),
    ],
)
def test_what_one_call_says(answers: Iterable[Outcome | CheckResult], call: CallHealth | None) -> None:
    """Of several answers the best speaks for the call."""
    assert call_of(told(*answers)) == call


def test_an_answered_call_of_a_batch_stops_nobody(world: World) -> None:
    """The step that records it goes on with the next call."""
    ids = world.add_many("abc", "desktops")
    work = world.begun("desktops")
    world.open(work, ids[:1])
    path = world.groups(work)[0].path
    step = world.advance(work, [CallResult(path, world.clock.now, {ids[0]: FAULT})], world.groups(work, ids[1:]))
    assert len(step.permits) == 2
