"""A clock that goes back by an hour holds nothing up for longer than the wait itself, and forgets no wait."""

from dataclasses import replace
from datetime import datetime, timedelta
from math import inf, nan
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.ledger import accounts, breaker, due, moments, pace, permits
from redrive.models.outcome import Blocked, Cause, Throttled, Unknown
from redrive.models.states import Operation
from tests.support.world import START, World

HOUR = 3600.0
RESTART, QUERY = "/open/v1/task/restart", "/open/v1/task/query"
BAD_KEY = Blocked(cause=Cause.CREDENTIALS, http_status=401, message="bad signature")


def penalize(world: World, answer: Throttled) -> None:
    with world.begin() as t:
        permits.penalize(t, world.rules["phones"], [(RESTART, answer)])


def claimed_after(world: World, account: str = "phones", operation: Operation = Operation.RETRY) -> float:
    """Seconds until a claim takes something, tried every half minute as a scheduler would."""
    began = world.clock.now
    while world.claim(account, operation).batch is None:
        world.clock.forward(30)
        assert world.clock.now < began + timedelta(days=2), "nothing is claimed any more"
    return (world.clock.now - began).total_seconds()


def test_a_bad_credential_pauses_also_after_the_clock_went_back(world: World) -> None:
    """The resume lies an hour ahead; the next answers are newer all the same."""
    world.clock.forward(HOUR)
    world.resume("desktops")
    world.clock.forward(-HOUR)
    world.add("1", "desktops")
    world.retried(BAD_KEY, "desktops")
    assert world.account("desktops")["paused_cause"] == "credentials"


@pytest.mark.parametrize("operation", Operation)
def test_it_pauses_at_once_whatever_was_asked(world: World, operation: Operation) -> None:
    """Nor do rows of refusals wait for the clock."""
    world.clock.forward(HOUR)
    world.accepted("1", "desktops")
    world.resume("desktops")
    world.clock.forward(-HOUR)
    world.put(1, due_at=world.clock.now, status_since=world.clock.now)
    if operation is Operation.CHECK:
        world.looked(BAD_KEY, "desktops")
    else:
        world.add("2", "desktops")
        assert world.claim("desktops").batch is None, "the pace of the hour ahead holds for half a lease"
        world.clock.forward(90)
        world.retried(BAD_KEY, "desktops")
    assert world.account("desktops")["paused_cause"] == "credentials"


def test_old_news_stays_old_when_the_clock_goes_forward(world: World) -> None:
    world.add("1", "desktops")
    work = world.opened("desktops")
    opened_at = world.clock.now
    world.clock.forward(HOUR)
    world.resume("desktops")
    world.answer(work, BAD_KEY, asked_at=opened_at)
    assert world.account("desktops")["paused_cause"] is None


@pytest.mark.parametrize("seconds", [60.0, 600.0, 7200.0])
def test_a_penalty_lasts_as_long_as_it_was_given(world: World, seconds: float) -> None:
    """Stored by a clock that was an hour fast, a minute is a minute and two hours are two hours; not less, either."""
    world.add("1")
    world.clock.forward(HOUR)
    penalize(world, Throttled(wait_seconds=seconds))
    world.clock.forward(-HOUR)
    waited = claimed_after(world)
    assert seconds - 60 <= waited <= seconds + 30


def test_a_clock_that_goes_forward_ends_it_no_later(world: World) -> None:
    world.add("1")
    penalize(world, Throttled(wait_seconds=7200.0))
    world.clock.forward(HOUR)
    assert claimed_after(world) == pytest.approx(HOUR, abs=60)


def test_a_penalty_of_the_release_before_is_bounded_by_a_day(world: World) -> None:
    """It did not say how long it was; a two-hour lock is safe within a day, and a year ends."""
    world.add("1")
    world.database.level = 1
    penalize(world, Throttled(wait_seconds=7200.0))
    world.database.level = 2
    assert world.limit(RESTART)["blocked_seconds"] is None
    assert claimed_after(world) == pytest.approx(7200, abs=60)
    world.clock.forward(365 * 24 * HOUR)
    world.add("2")
    penalize(world, Throttled(wait_seconds=60.0))
    world.clock.forward(-365 * 24 * HOUR)
    with world.begin() as t:
        breaker.limit_rows.write(t, "phones", RESTART, blocked_seconds=None)
    world.put(2, due_at=world.clock.now)
    assert claimed_after(world) == pytest.approx(86_400, abs=60)


def test_a_permit_holds_for_half_a_lease_and_an_interval_at_most(world: World) -> None:
    rules = world.ruled("phones", interval_seconds=20.0)
    world.add("1")
    world.clock.forward(HOUR)
    with world.begin() as t:
        permits.take(t, rules, {RESTART: 1}, t.now)
    world.clock.forward(-HOUR)
    assert claimed_after(world) <= rules.lease_seconds / 2 + 20
    with world.begin() as t:
        assert permits.take(t, rules, {RESTART: 1}, t.now + timedelta(seconds=rules.lease_seconds))[RESTART]


@pytest.mark.parametrize("operation", Operation)
def test_an_open_breaker_lets_a_probe_through_in_time(world: World, operation: Operation) -> None:
    world.accepted("1", "desktops")
    world.add("2", "desktops")
    world.clock.forward(HOUR)
    with world.begin() as t:
        for _ in range(5):
            old = breaker.load(t, "desktops", operation)
            calls = [breaker.CallHealth("broken")]
            breaker.feed(t, world.rules["desktops"], operation, old, calls, batch_id=uuid4())
    world.clock.forward(-HOUR)
    world.put(1, due_at=world.clock.now, status_since=world.clock.now)
    world.put(2, due_at=world.clock.now)
    assert claimed_after(world, "desktops", operation) <= 600 + 30


def test_a_balance_is_tried_after_half_an_hour(world: World) -> None:
    """A scheduler asks only accounts that may have work: it must find this one, too."""
    world.add("1")
    world.clock.forward(HOUR)
    world.retried(Blocked(cause=Cause.BALANCE))
    world.clock.forward(-HOUR)
    world.put(1, due_at=world.clock.now)
    began, found = world.clock.now, None
    while found is None:
        with world.database.reading() as t:
            asked = due.due(t, list(world.rules))
        found = world.claim().batch if asked else None
        world.clock.forward(30)
        assert world.clock.now < began + timedelta(hours=2)
    assert (world.clock.now - began).total_seconds() == pytest.approx(1800, abs=90)


def test_people_see_what_claims_believe(world: World) -> None:
    """Looking writes nothing, and shows no moment that nobody waits for."""
    world.add("1", "desktops")
    world.clock.forward(HOUR)
    world.retried(Throttled(wait_seconds=60.0), "desktops")
    world.resume("desktops")
    world.clock.forward(-HOUR)
    rules = world.rules["desktops"]
    with world.statements() as seen, world.database.reading() as t:
        shown = pace.shown(t, rules, Operation.RETRY)
        account = accounts.read(t, "desktops")
    assert not [statement for statement in seen if statement.startswith(("UPDATE", "INSERT"))]
    assert account is not None
    assert account.resumed_at == world.clock.now
    with world.begin() as t:
        assert pace.read(t, rules, Operation.RETRY) == shown
        assert accounts.locked(t, "desktops") == account
    assert all(path.free_at(START) <= world.clock.now + timedelta(seconds=61) for path in shown[1].values())


def test_mending_happens_once(world: World) -> None:
    """What is within its bounds costs no statement."""
    penalize(world, Throttled(wait_seconds=60.0))
    world.clock.forward(-HOUR)
    rules = world.rules["phones"]
    counts = []
    for _ in range(3):
        with world.statements() as seen, world.begin() as t:
            pace.read(t, rules, Operation.RETRY)
        counts.append(len([statement for statement in seen if statement.startswith("UPDATE")]))
    assert counts == [1, 0, 0]


def test_a_transaction_that_stood_still_doubts_nobody(world: World) -> None:
    """It has asked for its moment a minute ago; what others have stored since lies ahead of that, and is right."""
    rules = world.ruled("phones", interval_seconds=20.0)
    world.resume()
    with world.begin() as t:
        permits.take(t, rules, {RESTART: 1}, t.now)
        permits.penalize(t, rules, [(QUERY, Throttled(wait_seconds=30.0))])
        opened = breaker.Breaker(5, 6, t.now + timedelta(seconds=600), None, "broken")
        breaker.store(t, "phones", Operation.RETRY, opened)
    before = (world.account(), world.limit(RESTART), world.limit(QUERY))
    with world.begin() as t:
        frozen = replace(t, now=t.now - timedelta(seconds=90), asked=t.asked - 90, answered=t.answered - 90)
        accounts.locked(frozen, "phones")
        state, paths = pace.read(frozen, rules, Operation.RETRY)
        permits.mend(frozen, rules)
    assert (world.account(), world.limit(RESTART), world.limit(QUERY)) == before
    assert state == opened
    assert paths[RESTART].next_at == before[1]["next_at"]


numbers = st.one_of(st.none(), st.booleans(), st.text(), st.integers(), st.floats(), st.lists(st.integers()))


@given(value=numbers)
def test_a_wait_is_a_number_that_can_be_waited_for(value: object) -> None:
    """Whatever a provider's code names: above zero and at most a day, or none."""
    found = moments.wait_seconds(value)
    assert found is None or 0 < found <= moments.LONGEST_WAIT_SECONDS
    assert START + timedelta(seconds=found or 0) >= START


@pytest.mark.parametrize(
    ("wait", "seconds"), [(nan, 5), (-1.0, 5), (0.0, 5), (inf, 86_400), (1e15, 86_400), (10**400, 86_400), ("60", 5)]
)
def test_a_wait_that_is_none_grows_by_itself(world: World, wait: Any, seconds: float) -> None:
    """Nothing that a provider's code returns keeps its answer from being recorded."""
    world.add("1")
    world.retried(Throttled(wait_seconds=wait))
    assert waits(world) == seconds
    world.clock.forward(seconds)
    world.add("2")
    world.retried(Unknown(wait_seconds=wait))
    assert waits(world) == min(2 * seconds, 86_400)


def waits(world: World) -> float:
    until: datetime = world.limit(RESTART)["blocked_until"]
    return (until - world.clock.now).total_seconds()
