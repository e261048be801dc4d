"""Failed tasks go in, real processes retry them at the sandbox over real sockets, and each comes to its end."""

import os
import signal

import pytest

from redrive.models.states import Status
from redrive.sandbox.samples import sample_rows
from redrive.sandbox.script import Script, make_id
from tests.support.long import long
from tests.support.process_world import ProcessWorld
from tests.support.processes import wait_until

pytestmark = pytest.mark.timeout(180)


def test_every_task_ends_as_its_script_says(world: ProcessWorld) -> None:
    """Tasks of three providers, failed and canceled, by real scheduler, broker and worker."""
    world.start_sandbox(limits="[accounts.phones.limits]\ntimeout_seconds = 2\n")  # doubt lasts as long as a call may
    world.add(sample_rows(30, seed=7))
    world.start("scheduler")
    world.start("worker")
    world.wait_for_the_end(90)
    assert world.differences() == []
    assert world.sandbox("stats")["violations"] == {}


@pytest.mark.parametrize("database_url", ["postgresql", long("sqlite")], indirect=True)
def test_a_worker_killed_while_its_call_is_open_costs_one_retry_and_no_task(world: ProcessWorld) -> None:
    """SIGKILL between opening and recording: open attempts become unknown and spent, are checked, and go on."""
    limits = "[accounts.phones.limits]\nlease_seconds = 5\ntimeout_seconds = 2\n"
    world.start_sandbox(limits=limits)
    ids = world.add(
        {"account": "phones", "external_id": make_id("geelark", n, Script(succeeds_on=1))} for n in range(20)
    )
    world.fault(path="/open/v1/task/restart", fault="hang", count=1)
    world.start("scheduler")
    worker = world.start("worker")
    wait_until(lambda: all(x.attempts == 1 and x.status is Status.IN_FLIGHT for x in world.tasks(ids)))
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    world.clear_faults()
    wait_until(lambda: all(x.status is Status.UNKNOWN for x in world.tasks(ids)), 15, what="the lease was over")
    assert {x.spent for x in world.tasks(ids)} == {1}
    world.start("worker")
    ended = world.wait_for_the_end(60)
    assert {x.status for x in ended} == {Status.SUCCEEDED}
    assert {(x.attempts, x.spent) for x in ended} == {(2, 2)}
    assert world.sandbox("stats")["violations"] == {}


@pytest.mark.parametrize("database_url", [long("postgresql"), "sqlite"], indirect=True)
def test_a_worker_told_to_stop_gives_back_what_it_has_not_sent(world: ProcessWorld) -> None:
    """SIGTERM: the call under way is recorded, the rest of the batch goes back unspent."""
    limits = "[accounts.phones.limits]\nbatch_size = 100\n"
    world.start_sandbox("--latency-seconds", "0.5", limits=limits)
    world.add({"account": "reviews", "external_id": make_id("docflow", n, Script(succeeds_on=1))} for n in range(40))
    scheduler, worker = world.start("scheduler"), world.start("worker")
    wait_until(lambda: any(x.attempts for x in world.tasks()))
    for process in (scheduler, worker):  # a scheduler would claim again at once what is given back
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0
    left = world.tasks()
    assert not any(x.status is Status.IN_FLIGHT for x in left), "the rest of the batch went back"
    assert sum(x.spent for x in left) == world.sandbox("stats")["retries"]["docflow"]["accepted"]
    assert any(x.status is Status.RETRYING for x in left)
    world.start("scheduler")
    world.start("worker")
    ended = world.wait_for_the_end(60)
    assert {(x.status, x.spent) for x in ended} == {(Status.SUCCEEDED, 1)}
    assert world.sandbox("stats")["violations"] == {}
