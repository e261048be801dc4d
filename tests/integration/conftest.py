from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.world import World
from tests.support.processes import Process


@pytest.fixture
def world(spawn: Callable[..., Process], database_url: str, broker: str, tmp_path: Path) -> Iterator[World]:
    """An installation on either database, nothing of it started yet."""
    world = World(spawn, database_url, broker, tmp_path)
    yield world
    world.close()
