import httpx
import pytest

from redrive.sandbox.script import GEELARK, HUAWEI_WORKSPACE, Refusal, Script, make_id
from tests.sandbox.conftest import TOKEN_MODE, Caller, FakeClock, Open

RESTART = "/open/v1/task/restart"


def one(script: Script | None = None, serial: int = 1) -> str:
    return make_id(GEELARK, serial, script or Script())


def test_more_than_five(caller: Caller, clock: FakeClock) -> None:
    """A sixth call about a task counts, whether the five before were taken or their answers lost."""
    never = one(Script(succeeds_on=None))
    caller.sandbox.fault(RESTART, "status", status=500, count=2)
    for _ in range(2):
        caller.http.post(RESTART, json={"ids": [never]}, headers=TOKEN_MODE)
    for _ in range(3):
        caller.restart(never)
        clock.advance(1)
    assert caller.violations == {}
    assert caller.restart(never)["code"] == 0
    assert caller.violations == {"over_limit": {"count": 1, "examples": [f"geelark {never}: asked 5 times before"]}}


def test_refusals_are_no_retries(caller: Caller) -> None:
    """A task that was refused six times was never retried."""
    refused = one(Script(refusal=Refusal.NOT_ALLOWED))
    for _ in range(6):
        caller.restart(refused)
    (task,) = caller.sandbox.task(refused)
    assert (task["accepted"], task["asked"], task["refused"]) == (0, 0, 6)
    assert caller.violations == {}


def test_a_retry_of_what_runs(caller: Caller, clock: FakeClock) -> None:
    """Counted while the run is one that was asked for, not while it is somebody else's."""
    somebody_elses = one(Script(refusal=Refusal.RUNNING), serial=2)
    caller.restart(one(), somebody_elses)
    assert caller.violations == {}
    caller.restart(one())
    assert caller.violations == {"retry_while_running": {"count": 1, "examples": [f"geelark {one()}: run 1"]}}
    clock.advance(1)
    caller.restart(one())
    assert caller.violations["retry_while_running"]["count"] == 1
    assert caller.sandbox.stats()["retries"]["geelark"]["retried_succeeded"] == 1


def test_a_hundred_ids_and_one_more(caller: Caller) -> None:
    """A hundred are taken at once, a hundred and one are refused as a whole."""
    ids = [one(serial=serial) for serial in range(101)]
    assert caller.restart(*ids[:100])["data"]["successAmount"] == 100
    assert caller.restart(*ids)["code"] == 40004
    assert caller.violations == {"too_many_ids": {"count": 1, "examples": ["GeeLark: Retry Task: 101"]}}


def test_the_same_id_twice(caller: Caller) -> None:
    """Counted, and done once."""
    assert caller.restart(one(), one())["data"]["totalAmount"] == 1
    assert list(caller.violations) == ["same_id_twice"]


@pytest.mark.parametrize("shown", [20])
def test_examples_are_few(caller: Caller, shown: int) -> None:
    """All are counted, the first are kept."""
    for _ in range(shown + 5):
        caller.restart(one(), one())
    told = caller.violations["same_id_twice"]
    assert (told["count"], len(told["examples"])) == (shown + 5, shown)


def test_stats_over_http(caller: Caller) -> None:
    """Calls by path, retries by provider, one task by its id; all forgotten at a reset."""
    desktop = make_id(HUAWEI_WORKSPACE, 1, Script())
    caller.restart(one(), one(Script(refusal=Refusal.GONE)))
    caller.execute(task_id=desktop)
    stats = caller.http.get("/_sandbox/stats").json()
    assert stats == caller.sandbox.stats()
    assert stats["calls"] == {RESTART: 1, "/v2/{project_id}/script-executions/retry": 1}
    assert stats["retries"]["geelark"] == {"accepted": 1, "refused": 1, "doubtful": 0, "retried_succeeded": 0}
    assert stats["retries"]["huawei_workspace"]["accepted"] == 1
    assert caller.http.get(f"/_sandbox/tasks/{desktop}").json() == caller.sandbox.task(desktop)
    assert caller.http.get("/_sandbox/tasks/1").status_code == 404
    caller.http.post("/_sandbox/reset")
    assert caller.sandbox.stats() == {"calls": {}, "retries": {}, "faults": {}, "violations": {}}
    assert caller.http.get(f"/_sandbox/tasks/{desktop}").status_code == 404


def test_latency_comes_after_the_deed(open_sandbox: Open) -> None:
    """A caller who gives up waiting has retried all the same."""
    caller = open_sandbox(latency_seconds=30.0)
    with pytest.raises(httpx.ReadTimeout):
        caller.http.post(
            RESTART,
            json={"ids": [one()]},
            headers=TOKEN_MODE,
            timeout=0.2,
        )
    assert caller.sandbox.task(one())[0]["accepted"] == 1
