import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.process_world import ProcessWorld
from tests.support.processes import Process

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """They run when they are named, and not in ``make test``: what they need is not in wheels."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    if not any("infrastructure" in argument for argument in config.args):
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)
    for item in ours:
        item.add_marker(pytest.mark.timeout(300))


@pytest.fixture
def program() -> Callable[[str, str], Path]:
    """Find a server's program, or skip and say what to install."""

    def find(name: str, package: str) -> Path:
        # RabbitMQ's own start script: that of Debian changes to a user who may not write here.
        for place in (f"/usr/lib/rabbitmq/bin/{name}", shutil.which(name), f"/usr/sbin/{name}"):
            if place and Path(place).exists():
                return Path(place)
        pytest.skip(f"no {name}: apt-get install {package}")

    return find


NewWorld = Callable[[str], ProcessWorld]


@pytest.fixture
def new_world(
    spawn: Callable[..., Process], new_sqlite_database: Callable[[], str], tmp_path: Path
) -> Iterator[NewWorld]:
    """An installation on the broker of this address, with its sandbox."""
    made: list[ProcessWorld] = []

    def new(broker_url: str) -> ProcessWorld:
        world = ProcessWorld(spawn, new_sqlite_database(), broker_url, tmp_path)
        world.start_sandbox()
        made.append(world)
        return world

    yield new
    for world in made:
        world.close()
