"""The provider's minute and hour, measured where they count: when calls arrive, from everybody together."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.clock import boottime
from redrive.models.ledger import permits
from redrive.models.rules import LATE_SECONDS, interval_seconds
from redrive.sandbox.server import SandboxThread
from redrive.worker import job, session
from tests.support.house import CONFIG, DESKTOPS, REVIEWS, House
from tests.support.measured_world import MeasuredWorld, crowds, most_within
from tests.support.processes import wait_until
from tests.support.tiny import Answer, Asked, tiny

At = Callable[..., AbstractContextManager[House]]

INTERVAL = 62 / 600
"""Between two permits at 600 calls a minute: room for calls that are late."""
REVIEW = "/api/app-api/sip/platform/v2/review/task/retry"
CHECK_RESULTS = f"/v2/{CONFIG.huawei.project_id}/script-execution-records"

MEASURING_SECONDS = 0.4
"""What the way to the provider and its own clock add on a busy machine."""

SOON_LATE_SECONDS = 0.8
STALL_SECONDS = 2.0
"""Longer than a call may be late: what waited longest must not leave."""

PROVIDERS = {"phones": "geelark", "tablets": "geelark", "desktops": "huawei_workspace", "reviews": "docflow"}

UNTRACKED = "[policy]\ntrack_results = false\n[breaker]\nfailures = 10000\n"

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def assert_paced(arrivals: dict[str, list[float]]) -> None:
    late = LATE_SECONDS + MEASURING_SECONDS
    wrong = {path: crowds(moments, interval=INTERVAL, late=late) for path, moments in arrivals.items()}
    assert wrong == {path: [] for path in arrivals}


@on_postgresql
def test_no_stretch_of_time_sees_too_many_calls(world: MeasuredWorld) -> None:
    """Two schedulers and two workers, all killed, and others in their place: nobody forgets what was agreed.

    Retries, looks and logins keep their paths' pace, a penalty and a pause stay.
    """
    world.start_provider(GEELARK_TOKEN="wrong")
    for account, provider in PROVIDERS.items():
        world.add_failed(account, provider, 150)
    first = world.start_together("scheduler", "scheduler", "worker", "worker")
    wait_until(lambda: len(world.arrivals().get(REVIEW, ())) > 15, 30, what="calls")
    wait_until(lambda: len(world.arrivals()) == 7, 30, what="retries, looks and logins of all providers")
    world.fault(path=REVIEW, fault="retry_after", seconds=600)
    wait_until(lambda: world.blocked("reviews") and world.paused("phones"), 30, what="a penalty and a pause")
    for process in first:
        process.kill()
    before, spent = world.arrivals(), world.attempts("phones")
    second = world.start_together("scheduler", "worker")
    wait_until(lambda: len(world.arrivals()[CHECK_RESULTS]) > len(before[CHECK_RESULTS]) + 20, 40, what="as many again")
    arrivals = world.arrivals()
    for process in second:
        process.kill()
    assert_paced(arrivals)
    assert arrivals[REVIEW] == before[REVIEW]
    assert world.attempts("phones") == spent


@pytest.fixture
def stalling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network on which connections come about only at every whole multiple of so many seconds."""
    connect = session._Connector.connect

    async def late(*arguments: Any, **named: Any) -> Any:
        connection = await connect(*arguments, **named)
        await asyncio.sleep(STALL_SECONDS - boottime() % STALL_SECONDS)
        return connection

    monkeypatch.setattr(session._Connector, "connect", late)


@pytest.fixture
def soon_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call is late sooner than it usually is, so that nobody has to wait for it."""
    monkeypatch.setattr(permits, "LATE_SECONDS", SOON_LATE_SECONDS)


@on_postgresql
@pytest.mark.usefixtures("stalling", "soon_late")
def test_calls_that_a_network_held_up_do_not_leave_all_at_once(at: At) -> None:
    """Two workers: what is ready when the network moves again leaves in one moment, but for what is too late by then.

    Nothing worse can happen to the pace.
    """
    limits = {"calls_per_minute": 600, "concurrency": 40, "timeout_seconds": 9, "lease_seconds": 30, "batch_size": 30}
    with (
        tiny(lambda _: (200, {"code": 200, "msg": ""})) as provider,
        at(provider.url, {"reviews": REVIEWS}, limits=limits, general=UNTRACKED) as ours,
    ):
        ours.world.add_many([str(n) for n in range(60)], "reviews")
        batches = [batch for _ in range(2) for batch in ours.run_pass()]
        workers = [ours.worker, ours.new_worker()]
        wait_until(lambda: boottime() % STALL_SECONDS < 0.1, STALL_SECONDS + 1)
        jobs = [ours.pool.submit(job.run, *each) for each in zip(workers, [batch.id for batch in batches], strict=True)]
        wait_until(lambda: provider.asked, 3 * STALL_SECONDS)
        for worker in workers:
            worker.draining.set()
        for each in jobs:
            each.result()
        moments = [asked.at for asked in provider.asked]
    assert crowds(moments, interval=INTERVAL, late=SOON_LATE_SECONDS + MEASURING_SECONDS) == []
    assert most_within(moments, 0.5) >= SOON_LATE_SECONDS / INTERVAL / 2, "they did leave together"


@on_postgresql
@pytest.mark.usefixtures("soon_late")
def test_a_call_that_waited_long_for_a_login_takes_another_permit(at: At) -> None:
    """All that wait for one slow login would leave in the moment it is over, with permits from long before."""

    def answer(asked: Asked) -> Answer:
        if "tokens" in asked.path:
            time.sleep(SOON_LATE_SECONDS + 20 * INTERVAL)
            return 201, {"token": {}}, {"X-Subject-Token": "token"}
        return 200, {"task_id": "new"}

    limits = {"calls_per_minute": 600, "concurrency": 30, "timeout_seconds": 9, "lease_seconds": 30}
    with tiny(answer) as provider, at(provider.url, {"desktops": DESKTOPS}, limits=limits, general=UNTRACKED) as ours:
        ours.world.add_many([f"t{n}" for n in range(20)], "desktops")
        assert ours.turn() == {"accepted": 20}
        moments = [asked.at for asked in provider.asked if "tokens" not in asked.path]
        assert ours.world.totals("desktops")["calls:retry"] == 21
    assert crowds(moments, interval=INTERVAL, late=SOON_LATE_SECONDS + MEASURING_SECONDS) == []


@on_postgresql
def test_a_login_fits_the_shortest_lease_there_may_be(at: At, sandbox: SandboxThread) -> None:
    """Or an account with short timeouts would never get to its first call, and nobody would know why."""
    limits = {"timeout_seconds": 1, "lease_seconds": 3}
    with at(sandbox.url, {"desktops": DESKTOPS}, limits=limits, general=UNTRACKED) as ours:
        ours.world.add("t1", "desktops")
        assert ours.turn() == {"accepted": 1}


lateness = st.one_of(st.just(0.0), st.just(LATE_SECONDS), st.floats(0, LATE_SECONDS))


@given(per_minute=st.integers(1, 300), late=st.lists(lateness, min_size=1, max_size=40))
def test_no_sliding_minute_sees_more_than_its_calls(per_minute: int, late: list[float]) -> None:
    """However late each call is within what it may be, also when the first of a minute are and the last are not."""
    interval, calls = interval_seconds(per_minute, 1_000_000), per_minute * 3
    moments = [n * interval + late[n * len(late) // calls] for n in range(calls)]
    assert most_within(moments, 60 - 1e-6) <= per_minute, "a millionth of a second is the measuring"


@given(per_hour=st.integers(1, 200), late=lateness)
def test_no_sliding_hour_sees_more_than_its_calls(per_hour: int, late: float) -> None:
    """The same, where the hour's limit is the slower one."""
    interval = interval_seconds(1_000_000, per_hour)
    moments = [n * interval + late * (n == 0) for n in range(per_hour * 2)]
    assert most_within(moments, 3600 - 1e-6) <= per_hour


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("hourly", [False, True])
def test_a_provider_that_counts_by_the_minute_never_says_no(world: MeasuredWorld, *, hourly: bool) -> None:
    """A minute and a half at a provider that allows exactly what is configured, workers killed all the while.

    ``hourly``: the limit per hour is the slower one.
    """
    rate = {"per_minute": 6000, "per_hour": 3602 / 62 * 600} if hourly else {"per_minute": 600}
    world.start_provider("600", **rate)
    for account, provider in PROVIDERS.items():
        world.add_failed(account, provider, 1000)
    world.start_together("scheduler", "scheduler", "worker")
    began = time.monotonic()
    while time.monotonic() < began + 90:
        (worker,) = world.start_together("worker")
        until = time.monotonic() + 10
        wait_until(lambda until=until: time.monotonic() > until, 20)  # type: ignore[misc]
        worker.kill()
    arrivals = world.arrivals()
    assert_paced(arrivals)
    assert "over_rate" not in world.sandbox("stats")["violations"]
    assert most_within(arrivals[REVIEW], 60) > 200, "nor did it stand still"
