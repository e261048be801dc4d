"""Calls refused as a whole, and refusals that come in crowds."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest

from redrive.models.states import DeadReason, Status
from redrive.sandbox.script import Refusal, Script, make_id
from redrive.sandbox.server import SandboxThread
from tests.support.house import PHONES, House, calls
from tests.support.tiny import Answer, Asked, tiny

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

At = Callable[..., AbstractContextManager[House]]
RESTART = "/open/v1/task/restart"


def test_one_bad_id_among_a_hundred_dies_alone(at: At) -> None:
    """Found in two calls per halving, each with a permit; nobody else is asked for twice."""
    bad = "5037"

    def answer(asked: Asked) -> Answer:
        spoiled = bad in asked.body["ids"]
        return 200, {"code": 40004 if spoiled else 0, "msg": "bad" if spoiled else "success", "data": {}}

    with tiny(answer) as provider, at(provider.url, {"phones": PHONES}, limits={"calls_per_minute": 3100}) as ours:
        ours.world.add_many([str(5000 + n) for n in range(100)])
        began = ours.clock()
        assert ours.turn() == {"accepted": 99, "refused": 1}
        made = len(provider.asked)
        assert made <= 1 + 2 * 7
        assert ours.world.limit(RESTART)["next_at"] >= began + made * timedelta(seconds=62 / 3100)
        dead = [task for task in ours.world.tasks().values() if task.status is Status.DEAD]
        assert [(task.external_id, task.dead_reason) for task in dead] == [(bad, DeadReason.REFUSED)]
        assert {len(ours.world.attempts(task)) for task in ours.world.tasks()} == {1}
        assert ours.world.totals()["calls:retry"] == made
    taken = [each for asked in provider.asked if bad not in asked.body["ids"] for each in asked.body["ids"]]
    assert len(taken) == len(set(taken)) == 99


def missing(*serials: int) -> list[str]:
    return [make_id("geelark", n, Script(refusal=Refusal.MISSING)) for n in serials]


def test_a_hundred_refusals_in_a_row_pause_the_account(at: At, sandbox: SandboxThread) -> None:
    """Not 99; the row goes on over calls and restarts, and the reason is what the provider said last."""
    with at(sandbox.url, {"phones": PHONES}) as ours:
        ours.world.add_many(missing(*range(99)))
        assert ours.turns() == {"refused": 99}
        assert ours.paused("phones")[0] is None
        ours.restart()
        ours.world.add_many(missing(99))
        assert ours.turns() == {"refused": 1}
        cause, reason = ours.paused("phones")
        assert cause == "refusals"
        assert "48002" in reason
        ours.world.add("1")
        assert ours.turns() == {}
        assert calls(sandbox, RESTART) == 2


def test_one_acceptance_ends_the_row(at: At, sandbox: SandboxThread) -> None:
    """Something is wrong with those tasks, not with what we ask."""
    with at(sandbox.url, {"phones": PHONES}) as ours:
        for ids in (missing(*range(99)), ["1"], missing(*range(100, 199))):
            ours.world.add_many(ids)
            ours.turns()
        assert ours.paused("phones")[0] is None
        assert ours.statuses("phones") == {Status.DEAD: 198, Status.RETRYING: 1}
