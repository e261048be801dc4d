"""The client in a host program whose own modules have the names of ours."""

import sys
from pathlib import Path
from typing import Any

MINE = 'WHOSE = "the host\'s"\n'
PROGRAM = """
import sys

import redrive

before = set(sys.modules)
client = redrive.Client()
task_id = client.add(account="phones", external_id="591", status="failed")
assert client.add(account="phones", external_id="591") == task_id
assert client.get(task_id).status == "failed"
assert client.report(account="phones", external_id="591", status="succeeded").status == "succeeded"
assert [task.hint for task in client.hold([task_id])] == ["nothing to hold: it has succeeded"]
try:
    client.add(account="phones", external_id="5.91E+17")
except redrive.BadInput as error:
    assert "spreadsheet" in str(error)
client.close()

import models, scheduler, worker

assert models.WHOSE == scheduler.WHOSE == worker.WHOSE == "the host's"
assert not {name for name in sys.modules if name.startswith(("models.", "scheduler.", "worker."))}
print("all is well")
"""
CONFIG = '[accounts.phones]\nprovider = "geelark"\ntoken = { env = "GEELARK_TOKEN" }\n'


def test_a_host_keeps_its_own_models_scheduler_and_worker(tmp_path: Path, database_url: str, spawn: Any) -> None:
    for name in ("models", "scheduler", "worker"):
        (tmp_path / f"{name}.py").write_text(MINE)
    (tmp_path / "redrive.toml").write_text(CONFIG)
    (tmp_path / "host.py").write_text(PROGRAM)
    host = spawn([sys.executable, "-W", "error", tmp_path / "host.py"], {"REDRIVE_DATABASE_URL": database_url})
    assert host.wait(30) == 0, host.output()
    assert host.output() == "all is well\n"


def test_importing_the_package_loads_nothing(spawn: Any) -> None:
    loaded = "sorted(name for name in sys.modules if name.startswith(('redrive.', 'sqlalchemy', 'redis')))"
    host = spawn([sys.executable, "-P", "-c", f"import sys, redrive; print({loaded})"])
    assert host.wait(30) == 0, host.output()
    assert host.output() == "[]\n"


def test_the_private_copy_and_the_public_one_live_side_by_side(spawn: Any) -> None:
    """A program of ours may use the client too; in either order, and without a warning."""
    for order in ("import redrive.client, models.ledger", "import models.ledger, redrive.client"):
        host = spawn([sys.executable, "-P", "-W", "error", "-c", order])
        assert host.wait(30) == 0, host.output()
