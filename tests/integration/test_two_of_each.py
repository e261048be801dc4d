"""Two schedulers and two workers share one database, and no task is retried twice for one failure."""

import os

import pytest

from redrive.models.states import Status
from redrive.sandbox.script import Script, make_id
from tests.support.process_world import ProcessWorld

TASKS = int(os.environ.get("REDRIVE_TEST_TASKS", "2000"))
"""20000 takes some minutes."""

FAST = """[accounts.phones.limits]
calls_per_minute = 12000
calls_per_hour = 720000
"""


@pytest.mark.timeout(120 + TASKS // 20)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_failure_is_retried_twice(world: ProcessWorld) -> None:
    """Every task is retried exactly as often as it failed, the provider's own count says so."""
    world.start_sandbox("--geelark-per-minute", "0", "--geelark-per-hour", "0", limits=FAST)
    scripts = [Script(succeeds_on=n) for n in (1, 2, 3)]
    rows = [{"account": "phones", "external_id": make_id("geelark", n, scripts[n % 3])} for n in range(TASKS)]
    for start in range(0, TASKS, 1000):
        world.add(rows[start : start + 1000])
    for part in ("scheduler", "scheduler", "worker", "worker"):
        world.start(part)
    ended = world.wait_for_the_end(60 + TASKS // 20)
    assert {(task.status, task.spent, task.attempts) for task in ended} == {(Status.SUCCEEDED, n, n) for n in (1, 2, 3)}
    assert world.differences() == []
    stats = world.sandbox("stats")
    assert stats["violations"] == {}
    assert stats["retries"]["geelark"]["accepted"] == sum(task.spent for task in ended)
