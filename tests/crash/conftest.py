from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.crash_world import CrashWorld
from tests.support.processes import Process


@pytest.fixture
def world(spawn: Callable[..., Process], database_url: str, broker: str, tmp_path: Path) -> Iterator[CrashWorld]:
    """An installation on either database, nothing of it started yet."""
    world = CrashWorld(spawn, database_url, broker, tmp_path)
    yield world
    world.close()
