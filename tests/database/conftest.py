from collections.abc import Iterator

import pytest

from .world import World


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A small world over a fresh database, once on PostgreSQL and once on SQLite."""
    world = World(database_url)
    yield world
    world.close()
