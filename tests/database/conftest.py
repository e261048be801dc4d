from collections.abc import Iterator

import pytest

from tests.support.shop import home, run, shop
from tests.support.site import at, ours, sandbox
from tests.support.world import World

__all__ = ["at", "home", "ours", "run", "sandbox", "shop", "world"]


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """A small world over a fresh database, once on PostgreSQL and once on SQLite."""
    world = World(database_url)
    yield world
    world.close()


@pytest.fixture(autouse=True)
def exact_checks(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Checks are due when the policy says, to the microsecond: that they come together has tests of its own."""
    if "checks_together" not in request.fixturenames:
        monkeypatch.setattr("redrive.models.lifecycle.grid.PART", 10**12)


@pytest.fixture
def checks_together() -> None:
    """Checks come together, as they do outside of tests."""
