"""What a host pays for the client in modules. By name, since a clock would measure the machine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.database.test_client import CONFIG

OF_THE_SERVICE = {
    "aiohttp", "alembic", "celery", "click", "flower", "httpx", "httpx_aiohttp", "kombu", "rich", "structlog", "typer",
}  # fmt: skip
"""What the scheduler, workers and the command line need, and a host does not."""

OF_THE_WORK = {"pydantic", "redis", "sqlalchemy"}
"""What a client needs once there is one."""

LOADED = """
import json
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(program: str, *arguments: str) -> set[str]:
    """The top-level modules that are loaded once the program has run."""
    command = [sys.executable, "-c", f"import sys\n{program}\n{LOADED}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "program",
    [
        "import redrive",
        "from redrive import Client",
        "from redrive import BadInput, TaskInfo, Unreachable",
        "from redrive import *",
        "import redrive; dir(redrive); redrive.Explanation",
        "import redrive.client",
    ],
)
def test_importing_the_client_loads_no_library(program: str) -> None:
    assert loaded_by(program) & (OF_THE_SERVICE | OF_THE_WORK) == set()


@pytest.mark.parametrize(
    "work",
    [
        "client.add(account='phones', external_id='1')",
        "client.add_many([{'account': 'phones', 'external_id': '1'}])",
        "client.find(status='failed')",
        "client.explain(client.add(account='phones', external_id='1'))",
        "client.stop(client.add(account='phones', external_id='1'), 'no longer wanted')",
    ],
)
def test_a_client_at_work_loads_nothing_of_the_service(database_url: str, tmp_path: Path, work: str) -> None:
    settings = tmp_path / "redrive.toml"
    settings.write_text(CONFIG)
    program = f"from redrive import Client\nwith Client(sys.argv[1], config=sys.argv[2]) as client:\n    {work}"
    loaded = loaded_by(program, database_url, str(settings))
    assert loaded & OF_THE_SERVICE == set()
    assert "sqlalchemy" in loaded  # the list above is not empty because nothing ran
