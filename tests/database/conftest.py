from collections.abc import Iterator

import pytest

from .shop import home, run, shop
from .world import World

__all__ = ["home", "run", "shop", "world"]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A small world over a fresh database, once on PostgreSQL and once on SQLite."""
    world = World(database_url)
    yield world
    world.close()
