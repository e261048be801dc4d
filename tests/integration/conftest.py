from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process_world import ProcessWorld
from tests.support.processes import Process


@pytest.fixture
def world(spawn: Callable[..., Process], database_url: str, broker: str, tmp_path: Path) -> Iterator[ProcessWorld]:
    """An installation on either database, nothing of it started yet."""
    world = ProcessWorld(spawn, database_url, broker, tmp_path)
    yield world
    world.close()
