from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.server import SandboxThread
from tests.support.house import House, house
from tests.support.measured_world import MeasuredWorld
from tests.support.processes import Process


@pytest.fixture
def world(spawn: Callable[..., Process], database_url: str, broker: str, tmp_path: Path) -> Iterator[MeasuredWorld]:
    """An installation of real processes whose provider is measured, nothing of it started yet."""
    world = MeasuredWorld(spawn, database_url, broker, tmp_path)
    yield world
    world.close()


@pytest.fixture
def at(database_url: str, tmp_path: Path) -> Callable[..., AbstractContextManager[House]]:
    """Opens an installation within this process, at that provider and with these accounts: see ``house``."""
    return partial(house, database_url, tmp_path)


@pytest.fixture
def sandbox() -> Iterator[SandboxThread]:
    """A provider whose runs are over before anybody looks."""
    with SandboxThread(SandboxConfig(run_seconds=0.05)) as sandbox:
        yield sandbox
