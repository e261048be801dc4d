"""The client in a host program whose own modules have the names of ours."""

import sys
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.processes
def test_commands_and_a_worker_run_beside_them(tmp_path: Path, database_url: str, broker: str, spawn: Any) -> None:
    """The host's folder comes first on the path of every process."""
    for name in ("models", "scheduler", "worker"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is the host')")
    (tmp_path / "redrive.toml").write_text(CONFIG)
    environment = {
        "PYTHONPATH": str(tmp_path), "REDRIVE_CONFIG": str(tmp_path / "redrive.toml"), "GEELARK_TOKEN": "t",
        "REDRIVE_DATABASE_URL": database_url, "REDRIVE_BROKER_URL": broker,
    }  # fmt: skip
    status = spawn([sys.executable, "-m", "redrive", "status"], environment)
    assert status.wait(30) == 0, status.output()
    for part in ("worker", "scheduler"):
        spawn([sys.executable, "-m", "redrive", part], environment, ready=f"{part}.started").stop()


def test_importing_the_package_loads_nothing(spawn: Any) -> None:
    loaded = "sorted(name for name in sys.modules if name.startswith(('redrive.', 'sqlalchemy', 'redis')))"
    host = spawn([sys.executable, "-P", "-c", f"import sys, redrive; print({loaded})"])
    assert host.wait(30) == 0, host.output()
    assert host.output() == "[]\n"
