"""The breaker: an account's operation that gets no answers is left alone, and tried again by one task at a time."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from redrive.models.ledger import Batch
from redrive.models.states import Operation, Status
from redrive.sandbox.server import SandboxThread
from tests.support.house import PHONES, REVIEWS, TABLETS, House, calls
from tests.support.tiny import Answer, Asked, tiny

At = Callable[..., AbstractContextManager[House]]
REVIEW, RESULT = "/review/task/retry", "/review/task/result"
FAILURES = 5


@pytest.fixture
def broken(sandbox: SandboxThread) -> SandboxThread:
    """A provider that takes retries and hangs up without a word; looks are answered."""
    sandbox.fault(f"*{REVIEW}", "drop_before")
    return sandbox


def opened(ours: House, tasks: int = 12) -> None:
    """The breaker opens at the fifth call in a row without an answer."""
    ours.world.add_many([str(n) for n in range(100, 100 + tasks)], "reviews")
    assert ours.turn() == {"unknown": FAILURES}


def seconds_open(ours: House) -> float:
    left: float = (ours.breaker("reviews")["open_until"] - ours.clock()).total_seconds()
    return left


def the_probe(ours: House) -> Batch:
    """What two schedulers let through at the same moment: one task in one batch."""
    (probe,) = ours.retries_of_two()
    assert probe.size == 1
    return probe


def test_it_opens_after_so_many_calls_and_stops_the_rest(at: At, broken: SandboxThread) -> None:
    """Five calls, then none; the looks at what is unknown go on, and a restart changes nothing."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        opened(ours)
        ours.restart()
        ours.clock.forward(6)
        ours.turns()
        assert calls(broken, REVIEW) == FAILURES
        assert calls(broken, RESULT) >= FAILURES
        assert ours.statuses("reviews")[Status.IN_FLIGHT] == 0
        assert ours.breaker("reviews", Operation.CHECK)["open_until"] is None


def test_checks_without_an_answer_do_not_stop_retries(at: At, sandbox: SandboxThread) -> None:
    """The breaker of one operation knows nothing of the other's."""
    sandbox.fault(f"*{RESULT}", "drop_before")
    with at(sandbox.url, {"reviews": REVIEWS}) as ours:
        ours.world.add_many([str(n) for n in range(8)], "reviews")
        assert ours.turns() == {"accepted": 8}
        ours.clock.forward(5.6)
        ours.turns()
        assert calls(sandbox, RESULT) == FAILURES
        ours.world.add("99", "reviews")
        assert ours.turns() == {"accepted": 1}
        assert calls(sandbox, RESULT) == FAILURES
        assert ours.breaker("reviews")["open_until"] is None


def test_an_account_without_answers_leaves_its_team_at_work(at: At) -> None:
    """Two accounts that share a quota have a breaker each."""

    def answer(asked: Asked) -> Answer:
        if "Authorization" not in asked.headers:
            return 503, {}
        amounts = {"totalAmount": 1, "successAmount": 1, "failAmount": 0}
        return 200, {"traceId": "", "code": 0, "msg": "success", "data": amounts}

    team = {"phones": 'group = "team"', "tablets": 'group = "team"'}
    alone = {"batch_size": 1, "max_in_flight": 20}
    with (
        tiny(answer) as provider,
        at(provider.url, {"phones": PHONES, "tablets": TABLETS}, own=team, limits=alone) as ours,
    ):
        for account in team:
            ours.world.add_many([str(n) for n in range(100, 112)], account)
        assert ours.turns()["accepted"] == 12
        assert ours.breaker("tablets")["open_until"] is not None
        assert ours.breaker("phones")["open_until"] is None
        assert ours.breaker("team")["open_until"] is None
        assert ours.statuses("phones") == {Status.RETRYING: 12}


def test_half_open_lets_one_task_through_and_closes_behind_it(at: At, broken: SandboxThread) -> None:
    """Before its time nothing; then one, whoever looks; its answer opens the way for all."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        opened(ours)
        ours.clock.forward(28)
        assert ours.retries_of_two() == []
        ours.clock.forward(2.1)
        probe = the_probe(ours)
        assert ours.retries_of_two() == [], "one at a time"
        broken.clear_faults()
        assert ours.work([probe]) == {"accepted": 1}
        assert ours.breaker("reviews")["open_until"] is None
        done = ours.turns()
        assert done["accepted"] == 11
        assert calls(broken, REVIEW) == FAILURES + 12


def test_a_failed_probe_opens_it_for_longer(at: At, broken: SandboxThread) -> None:
    """Twice as long each time, up to the longest; one call each; closed again, it starts from the beginning."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        opened(ours, 20)
        for number, seconds in enumerate((30, 60, 120, 240, 480, 600, 600), start=1):
            assert seconds - 3 < seconds_open(ours) <= seconds
            ours.clock.forward(seconds - 4)
            assert ours.retries_of_two() == []
            ours.clock.forward(4)
            assert ours.work([the_probe(ours)]) == {"unknown": 1}
            assert calls(broken, REVIEW) == FAILURES + number
        broken.clear_faults()
        ours.clock.forward(600)
        ours.work([the_probe(ours)])
        broken.fault(f"*{REVIEW}", "drop_before")
        assert ours.turn()["unknown"] == FAILURES
        assert seconds_open(ours) <= 30


def test_resuming_closes_it(at: At, broken: SandboxThread) -> None:
    """Whoever knows that the provider is well again does not wait for the next probe."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        opened(ours)
        broken.clear_faults()
        assert ours.retries_of_two() == []
        ours.world.resume("reviews")
        assert ours.turns()["accepted"] == 7


def test_a_clock_that_goes_back_keeps_it_open_no_longer(at: At, broken: SandboxThread) -> None:
    """It opened while the clock was an hour fast: its probe comes within the longest wait that the settings allow."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        ours.clock.forward(3600)
        opened(ours)
        ours.clock.forward(-3600)
        broken.clear_faults()
        ours.world.add_many([str(n) for n in range(200, 203)], "reviews")
        assert ours.retries_of_two() == []
        assert seconds_open(ours) <= 600
        ours.clock.forward(601)
        assert ours.work([the_probe(ours)]) == {"accepted": 1}


def test_a_lost_probe_opens_it_for_longer(at: At, broken: SandboxThread) -> None:
    """Its worker died: it tells nothing of the provider, but nobody knows that it is well again either."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        opened(ours)
        ours.clock.forward(30)
        ours.lose(the_probe(ours))
        assert ours.retries_of_two() == []
        assert 57 < seconds_open(ours) <= 60
        assert ours.breaker("reviews")["failures"] == FAILURES, "what is rescued is no failure of the provider's"
        ours.clock.forward(60)
        broken.clear_faults()
        assert ours.work([the_probe(ours)]) == {"accepted": 1}


def test_a_probe_nobody_has_begun_stays_the_only_one(at: At, broken: SandboxThread) -> None:
    """Its message is lost: the same batch is published again, and no second one is made."""
    with at(broken.url, {"reviews": REVIEWS}) as ours:
        opened(ours)
        ours.clock.forward(30)
        probe = the_probe(ours)
        ours.clock.forward(100)
        assert {batch.id for batch in ours.retries_of_two()} == {probe.id}


def test_rescued_batches_do_not_feed_it(at: At, sandbox: SandboxThread) -> None:
    """Workers that die say nothing about the provider."""
    with at(sandbox.url, {"reviews": REVIEWS}, limits={"batch_size": 1, "max_in_flight": 1}) as ours:
        ours.world.add_many([str(n) for n in range(FAILURES + 3)], "reviews")
        for _ in range(FAILURES + 2):
            (batch,) = ours.retries_of_two()
            ours.lose(batch)
        assert ours.breaker("reviews")["open_until"] is None
        (batch,) = ours.retries_of_two()
        assert ours.work([batch]) == {"accepted": 1}
