from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.interleaving.house import House, lived_in


@pytest.fixture(scope="package", params=["postgresql", "sqlite"])
def built(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house over each database: every play begins by emptying it."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            files, template = (request.getfixturevalue(f"sqlite_{each}") for each in ("files", "template"))
            url = stack.enter_context(files.new(template))
        else:
            databases, name = (request.getfixturevalue(f"postgres_{each}") for each in ("databases", "template"))
            url = stack.enter_context(databases.new(template=name))
        house = House(url)
        stack.callback(house.close)
        yield house


@pytest.fixture
def house(built: House) -> Iterator[House]:
    with lived_in(built):
        yield built
