"""What a provider asks for: the path or the account waits, for everybody and over restarts, and never less long."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from redrive.sandbox.server import SandboxThread
from tests.support.house import DESKTOPS, PHONES, REVIEWS, TABLETS, House, calls
from tests.support.processes import wait_until
from tests.support.tiny import Answer, Asked, tiny

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

At = Callable[..., AbstractContextManager[House]]
RESTART, QUERY, REVIEW = "/open/v1/task/restart", "/open/v1/task/query", "/review/task/retry"
LOGIN, RETRY = "/v3/auth/tokens", "/script-executions/retry"


def test_a_retry_after_stops_the_path_of_every_account_of_the_group(at: At, sandbox: SandboxThread) -> None:
    """Not the checks, which have a path of their own, nor a stranger; and no restart makes anybody forget it."""
    accounts = {"phones": PHONES, "tablets": TABLETS, "reviews": REVIEWS}
    with at(sandbox.url, accounts, own={"tablets": 'group = "phones"'}) as ours:
        ours.world.add("11")
        assert ours.turns() == {"accepted": 1}
        sandbox.fault(RESTART, "retry_after", seconds=100, count=1)
        ours.world.add("12")
        assert ours.turns() == {"throttled": 1}
        ours.restart()
        ours.world.add("13", "tablets")
        ours.world.add("14", "reviews")
        ours.clock.forward(6)
        done = ours.turns()
        assert (done["accepted"], calls(sandbox, RESTART), calls(sandbox, REVIEW)) == (1, 2, 1)
        assert calls(sandbox, QUERY) > 0
        ours.clock.forward(80)
        ours.turns()
        assert calls(sandbox, RESTART) == 2
        ours.clock.forward(15)
        assert ours.turns()["accepted"] == 2
        assert calls(sandbox, RESTART) == 4
        assert {task.spent for task in ours.world.tasks().values()} == {1}


@pytest.mark.parametrize("waits", [(100, 30), (30, 100)])
def test_the_longest_of_several_waits_stands(at: At, waits: tuple[int, int]) -> None:
    """Two calls in the air, whichever answer is recorded last."""
    first_recorded, both, over = threading.Event(), threading.Barrier(2), threading.Event()

    def answer(asked: Asked) -> Answer:
        if over.is_set():
            return 200, {"code": 200, "msg": "success"}
        both.wait(10)
        number = int(asked.body["task_id"]) - 11
        if number:
            first_recorded.wait(10)
        return 429, {}, {"Retry-After": str(waits[number])}

    limits = {"batch_size": 1, "timeout_seconds": 25, "lease_seconds": 60, "concurrency": 2}
    with tiny(answer) as provider, at(provider.url, {"reviews": REVIEWS}, limits=limits) as ours:
        ours.world.add_many(["11", "12"], "reviews")
        jobs = [ours.pool.submit(ours.work, ours.run_pass()) for _ in range(2)]
        wait_until(lambda: any(job.done() for job in jobs), 20)
        first_recorded.set()
        assert [job.result() for job in jobs] == [{"throttled": 1}] * 2
        over.set()
        ours.restart()
        ours.clock.forward(65)
        assert ours.turns() == {}
        assert len(provider.asked) == 2
        ours.clock.forward(36)
        assert ours.turns() == {"accepted": 2}


def test_a_login_told_to_wait_stops_the_whole_account(at: At, sandbox: SandboxThread) -> None:
    """Retries and checks need the login, so both wait; another account of the house does not."""
    with at(sandbox.url, {"desktops": DESKTOPS, "reviews": REVIEWS}) as ours:
        ours.world.add("t1", "desktops")
        assert ours.turns() == {"accepted": 1}
        sandbox.fault(LOGIN, "retry_after", seconds=100, count=1)
        ours.restart()  # the token was the process's own
        ours.world.add("t2", "desktops")
        assert ours.turns() == {"throttled": 1}
        ours.restart()
        ours.world.add("11", "reviews")
        ours.clock.forward(80)
        assert ours.turns()["accepted"] == 1
        assert (calls(sandbox, LOGIN), calls(sandbox, RETRY), calls(sandbox, "records")) == (2, 1, 0)
        ours.clock.forward(21)
        assert ours.turns()["accepted"] == 1
        assert (calls(sandbox, LOGIN), calls(sandbox, RETRY)) == (3, 2)
        assert calls(sandbox, "records") > 0
