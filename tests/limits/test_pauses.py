"""What stops an account until somebody fixes it, and how the stop ends."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from redrive.models.states import Status
from redrive.sandbox.server import SandboxThread
from tests.support.house import PHONES, REVIEWS, House, calls
from tests.support.tiny import Answer, Asked, tiny

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

At = Callable[..., AbstractContextManager[House]]
RESTART, REVIEW, RESULT = "/open/v1/task/restart", "/review/task/retry", "/review/task/result"
HALF_AN_HOUR = 1800


def test_wrong_credentials_pause_until_resumed(at: At, sandbox: SandboxThread) -> None:
    """With the provider's words; no restart and no time ends it, the right credentials and a resume do."""
    with at(sandbox.url, {"phones": PHONES, "reviews": REVIEWS}, secrets={"GEELARK_TOKEN": "wrong"}) as ours:
        ours.world.add_many(["11", "12"])
        ours.turns()
        assert ours.paused("phones") == ("credentials", "HTTP 200, code 40003: signature verification failed")
        for _ in range(3):
            ours.restart()
            ours.clock.forward(HALF_AN_HOUR)
            assert ours.turns() == {}
        assert calls(sandbox, RESTART) == 1
        ours.world.add("13", "reviews")
        assert ours.turns() == {"accepted": 1}, "somebody else's account"
        ours.restart({"GEELARK_TOKEN": sandbox.config.geelark.token})
        assert ours.turns()["accepted"] == 0
        ours.world.resume("phones")
        assert ours.turns()["accepted"] == 2
        assert {task.spent for task in ours.world.tasks().values()} == {1}


def test_an_answer_from_before_the_resume_does_not_pause_again(at: At) -> None:
    """Two calls with the old credentials: one pauses, the other's answer comes after the operator has resumed."""
    resumed, both = threading.Event(), threading.Barrier(2)

    def answer(asked: Asked) -> Answer:
        if resumed.is_set():
            return 200, {"code": 200, "msg": "success"}
        both.wait(5)
        if asked.body["task_id"] == "12":
            resumed.wait(5)
        return 401, {"code": 401, "msg": "no such key"}

    limits = {"batch_size": 1, "timeout_seconds": 6, "concurrency": 2}
    with tiny(answer) as provider, at(provider.url, {"reviews": REVIEWS}, limits=limits) as ours:
        ours.world.add_many(["11", "12"], "reviews")
        first, second = (ours.pool.submit(ours.work, ours.run_pass()) for _ in range(2))
        assert first.result(10) == {"blocked": 1}
        assert ours.paused("reviews") == ("credentials", "HTTP 401: no such key")
        ours.world.resume("reviews")
        resumed.set()
        assert second.result(10) == {"blocked": 1}
        assert ours.paused("reviews")[0] is None
        assert ours.turns() == {"accepted": 2}


def test_a_clock_that_goes_back_brings_no_storm(at: At, sandbox: SandboxThread) -> None:
    """Somebody resumed while the clock was an hour fast: wrong credentials pause after the calls under way, as ever."""
    with at(sandbox.url, {"phones": PHONES}, secrets={"GEELARK_TOKEN": "wrong"}, limits={"batch_size": 1}) as ours:
        ours.clock.forward(3600)
        ours.world.resume("phones")
        ours.clock.forward(-3600)
        ours.world.add_many([str(n) for n in range(100, 120)])
        ours.turns()
        assert ours.paused("phones")[0] == "credentials"
        assert calls(sandbox, RESTART) <= 4


def bankrupt(sandbox: SandboxThread) -> None:
    words = {"code": 41001, "msg": "balance insufficient"}
    sandbox.fault(RESTART, "status", status=200, body=words)


def test_an_empty_balance_is_tried_by_one_task_every_half_hour(at: At, sandbox: SandboxThread) -> None:
    """Also with two schedulers and after a restart; once it is filled everything goes on by itself."""
    bankrupt(sandbox)
    with at(sandbox.url, {"phones": PHONES}, limits={"batch_size": 2}) as ours:
        ours.world.add_many([str(n) for n in range(10, 18)])
        ours.turns()
        assert ours.paused("phones") == ("balance", "HTTP 200, code 41001: balance insufficient")
        for made in (1, 2):
            ours.restart()
            ours.clock.forward(HALF_AN_HOUR - 30)
            assert ours.retries_of_two() == []
            assert calls(sandbox, RESTART) == made
            ours.clock.forward(31)
            (probe,) = ours.retries_of_two()
            assert probe.size == 1
            assert ours.work([probe]) == {"blocked": 1}
        sandbox.clear_faults()
        ours.clock.forward(HALF_AN_HOUR + 1)
        (probe,) = ours.retries_of_two()
        assert ours.work([probe]) == {"accepted": 1}
        assert ours.paused("phones")[0] is None
        assert ours.turns()["accepted"] == 7
        assert {task.spent for task in ours.world.tasks().values()} == {1}


def test_a_lost_probe_of_a_balance_costs_one_attempt_and_half_an_hour(at: At, sandbox: SandboxThread) -> None:
    """The account stays paused, and the next probe comes in its turn."""
    bankrupt(sandbox)
    with at(sandbox.url, {"phones": PHONES}) as ours:
        ours.world.add_many(["11", "12"])
        ours.turns()
        sandbox.clear_faults()
        ours.clock.forward(HALF_AN_HOUR + 1)
        (probe,) = ours.retries_of_two()
        ours.lose(probe)
        assert ours.retries_of_two() == []
        ours.clock.forward(HALF_AN_HOUR - 60)
        assert ours.retries_of_two() == []
        assert ours.paused("phones")[0] == "balance"
        assert sum(task.spent for task in ours.world.tasks().values()) == 1
        ours.clock.forward(61)
        (probe,) = ours.retries_of_two()
        assert ours.work([probe]) == {"accepted": 1}
        assert ours.paused("phones")[0] is None


def test_an_outage_ends_by_itself(at: At, sandbox: SandboxThread) -> None:
    """Nobody is asked: a probe a while later finds the provider well, and every task ends as it should."""
    sandbox.fault("*", "status", status=503)
    with at(sandbox.url, {"reviews": REVIEWS}) as ours:
        ours.world.add_many([str(n) for n in range(10, 30)], "reviews")
        for _ in range(3):
            ours.turns()
            ours.clock.forward(20)
        assert ours.paused("reviews")[0] is None
        during = calls(sandbox, REVIEW) + calls(sandbox, RESULT)
        assert during <= 2 * 5 + 4, "what opens the two breakers, and their probes"
        sandbox.clear_faults()
        for _ in range(12):
            ours.turns()
            ours.clock.forward(60)
        assert ours.statuses("reviews") == {Status.SUCCEEDED: 20}
