"""Histories in which a promise would break if a certain guard were missing, played as they are written."""

from dataclasses import replace

import pytest

from redrive.models.states import Status
from tests.interleaving import hooks
from tests.interleaving.conductor import in_few_lines
from tests.interleaving.house import House
from tests.interleaving.play import Plan, Play, Twist
from tests.interleaving.provider import CHECK_RESULTS, RUNS
from tests.interleaving.twists import Act, Again, Fate, Give, Jump, Thaw, freeze, thaw

ONE = Plan()
LATE, NINETY, SHORT = (RUNS.index(each) for each in ((False, 300.0, True), (False, 90.0, False), (False, 20.0, False)))


def played(house: House, plan: Plan, *course: tuple[str, Twist]) -> list[str]:
    """Play it: each twist after the words before it were said. Returns the history."""
    play = Play(house, plan)

    def go() -> None:
        for words, twist in course:
            if words:
                play.until(words)
            play.apply(twist)

    play.run(go)
    return play.conductor.history


def nothing(_: Play) -> None:
    """It goes on."""


def said(history: list[str], *words: str) -> None:
    """All this was said, in this order."""
    lines = iter(history)
    for each in words:
        assert any(each in line for line in lines), "\n".join(
            [f"nobody said, in its turn: {each}", *in_few_lines(history)]
        )


@pytest.mark.parametrize("call", [1, 2], ids=["retry", "look"])
def test_an_answer_that_comes_after_the_rescue_changes_nothing(house: House, call: int) -> None:
    """The worker stood still until its lease was over."""
    history = played(
        house, ONE, (f"call {call} .* is answered", freeze), ("", Jump(121)), ("scheduler . is done", thaw)
    )
    said(history, "worker 1 is thawed", "worker 1 says: batch.stale")


def test_a_message_that_comes_again_is_begun_by_nobody(house: House) -> None:
    history = played(
        house, ONE, ("worker 1: COMMIT", Again(0)), ("", Give("worker 2")), ("call 1 .* is answered", nothing)
    )
    said(history, "worker 2 takes batch 1", "worker 2 is done", "call 1 (worker 1: retry r1) is answered")


def test_two_schedulers_claim_no_more_than_may_be_in_flight(house: House) -> None:
    """One stands between counting what is in flight and claiming: the other waits for it."""
    limits = "scheduler 1: SELECT redrive_limits"
    history = played(
        house, replace(ONE, tasks=2), (limits, freeze), ("scheduler 2 (is done|waits)", thaw),
        ("scheduler 2 is done", nothing),
    )  # fmt: skip
    said(history, "scheduler 2", "scheduler 1 is thawed", "scheduler 1: publish batch 1", "scheduler 2 is done")


def test_what_is_being_claimed_is_held_only_afterwards(house: House) -> None:
    """The operator comes between the claim's look at the task and its writing: it waits for the claim."""
    history = played(
        house, ONE, ("scheduler 1: SELECT redrive_tasks", freeze), ("", Act("hold", "r1")),
        ("operator (is done|waits)", thaw), ("operator is done", nothing),
    )  # fmt: skip
    said(history, "scheduler 1 is thawed", "scheduler 1: COMMIT", "operator: UPDATE redrive_tasks", "operator is done")


def test_a_check_counts_from_when_it_was_asked(house: House) -> None:
    """The provider shows a new run late, and the check was recorded later still: its old failure is not believed."""
    plan = replace(ONE, runs=(LATE,))
    history = played(
        house, plan, ("call 2 .*look.* is answered", Jump(51)), ("worker 1: UPDATE redrive_batches", nothing)
    )
    said(history, "call 2 (worker 1: look r1) leaves: r1 failed", "51 s pass", "worker 1: UPDATE redrive_tasks")


def test_a_check_of_an_earlier_attempt_is_dropped(house: House) -> None:
    """It saw the first run; the second one, which does not show yet, is not taken for seen."""
    plan = replace(ONE, runs=(NINETY, LATE), max_in_flight=2)
    history = played(
        house, plan, ("call 2 .*look.* is answered", freeze), ("", Jump(85)), ("", Act("retry", "r1")),
        ("call 4 .*retry.* is answered", nothing), ("worker . is done", thaw), ("call 5 .* is answered", nothing),
    )  # fmt: skip
    said(history, "call 4 (worker 2: retry r1) leaves", "worker 1 is thawed", "worker 1 is done", "call 5")


def test_a_check_that_comes_after_a_newer_one_is_dropped(house: House) -> None:
    """It saw the state before the run; the newer one saw it run."""
    plan = replace(ONE, runs=(LATE,), max_in_flight=2)
    history = played(
        house, plan, ("call 2 .*look.* is answered", freeze), ("", Jump(41)), ("", Act("retry", "r1")),
        ("call 3 .* is answered", nothing), ("worker . is done", thaw),
    )  # fmt: skip
    said(history, "call 3 (worker 2: look r1) leaves: r1 runs", "worker 1 is thawed", "worker 1: COMMIT")


def test_a_lease_starts_at_the_begin(house: House) -> None:
    """A batch that waited for its worker is not rescued while its call is under way."""
    history = played(
        house, ONE, ("scheduler 1 is done", Jump(121)), ("call 1 .* leaves", freeze), ("", Give("scheduler 2")),
        ("scheduler 2 is done", thaw),
    )  # fmt: skip
    said(history, "121 s pass", "call 1 (worker 1: retry r1) leaves", "scheduler 2 is done", "worker 1 is thawed")


@pytest.mark.parametrize("fate", [hooks.LOST, hooks.REFUSED])
def test_nothing_leaves_when_it_is_not_known_whether_it_was_opened(house: House, fate: str) -> None:
    """The COMMIT that opens the attempt meets a lost connection: the attempt counts as unsent, if it is there."""
    history = played(
        house, ONE, ("worker 1: INSERT redrive_attempts", Fate(fate)), ("worker 1 is done", nothing),
    )  # fmt: skip
    said(history, "database.unreachable", "worker 1 is done", "call 1 (calm: retry r1) leaves")


def test_a_begin_and_a_record_of_the_same_task_never_wait_in_a_circle(house: House) -> None:
    """A check of the task is recorded, which ends a penalty of its path, while its next retry is being begun."""

    def says(status: Status) -> Twist:
        return lambda play: play.errand(
            f"says {status}", lambda: play.house.operator.report(play.ids["r1"], status, play.clock.now)
        )

    plan = replace(ONE, runs=(SHORT,), results=(CHECK_RESULTS.index("throttled"),), max_in_flight=2)
    history = played(
        house, plan, ("call 3 .*look.* is answered", freeze), ("", says(Status.SUCCEEDED)),
        ("operator is done", says(Status.FAILED)), ("worker 2 takes", nothing),
        ("worker 2: SELECT redrive_tasks", freeze), ("", thaw), ("worker 1 (is done|waits)", thaw),
        ("worker 1 is done", nothing),
    )  # fmt: skip
    said(history, "look r1) leaves: throttled", "worker 2 is frozen", "worker 1 is thawed", "worker 2 is thawed")


def test_a_permit_that_somebody_else_was_faster_to_take_is_not_waited_for_in_a_circle(house: House) -> None:
    """Two want the next moment of a path, the slower one asks again; a third records a penalty of another path."""
    plan = replace(ONE, tasks=3, results=(CHECK_RESULTS.index("throttled"),), max_in_flight=2)
    history = played(
        house, plan, ("worker 2 takes", freeze), ("worker 3 takes", freeze), ("worker 1 is done", Act("retry", "b1")),
        ("call 2 .*look.* is answered", freeze), ("", Jump(4)), ("", Thaw("worker 2")),
        ("worker 2: UPDATE redrive_limits", freeze), ("", Thaw("worker 3")), ("worker 3 waits", Thaw("worker 1")),
        ("worker 1 waits", Thaw("worker 2")), ("worker 3 is done", nothing),
    )  # fmt: skip
    said(history, "leaves: throttled", "worker 3 is thawed", "worker 1 is thawed", "worker 2 is thawed")
