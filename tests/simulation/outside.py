"""Puts the simulated clocks, dice and waits in the place of the machine's, for as long as a simulation runs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, tzinfo
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch
from uuid import UUID

import redrive.models.clock
import redrive.models.ledger.claims
import redrive.worker.calls
import redrive.worker.providers.docflow
import redrive.worker.providers.geelark
import redrive.worker.providers.huawei_iam
import redrive.worker.providers.huawei_workspace
import redrive.worker.providers.waits
from redrive.models.ledger import CallResult
from redrive.worker.calls import Calls
from tests.simulation.stage import Stage, owner

if TYPE_CHECKING:
    from tests.simulation.processes import WorkerProcess

SIGNERS = (
    redrive.worker.providers.docflow,
    redrive.worker.providers.geelark,
    redrive.worker.providers.waits,
    redrive.worker.providers.huawei_iam,
    redrive.worker.providers.huawei_workspace,
)
"""Who reads the machine's calendar: for signatures, and for the dates of headers."""


@contextmanager
def replaced(stage: Stage) -> Iterator[None]:
    """The machine's clocks, uuids and waits replaced."""
    with ExitStack() as stack:

        def put(where: Any, name: str, what: Any) -> None:
            stack.enter_context(patch.object(where, name, what))

        numbers = count(1)
        put(redrive.models.clock, "time", SimpleNamespace(clock_gettime=lambda _: stage.boottime()))
        put(redrive.models.ledger.claims, "uuid4", lambda: UUID(int=next(numbers)))
        traces = count(1)
        put(redrive.worker.providers.geelark, "uuid4", lambda: UUID(int=next(traces) << 64))
        put(redrive.worker.calls.Calls, "hear", _hear)
        for module in SIGNERS:
            put(module, "datetime", _calendar(stage))
        yield


_real_hear = redrive.worker.calls.Calls.hear


async def _hear(calls: Calls, patience: float | None) -> list[CallResult]:
    """The real one; the process learns whose answers were taken."""
    before = [*calls._under_way]
    told = await _real_hear(calls, patience)
    cast("WorkerProcess", owner.get()).hear([call for call in before if call not in calls._under_way])
    return told


def _calendar(stage: Stage) -> type[datetime]:
    class Calendar(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return (stage.now() + stage.calendar_ahead).astimezone(tz)

    return Calendar
