import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.terminal import on_terminal

PROGRAM = """
import logging
from kombu.exceptions import OperationalError
from redrive.logs import configure

configure()
log = logging.getLogger("library")
for error in (OperationalError("gone"), ConnectionRefusedError("no"), KeyError("ours")):
    try:
        raise error
    except Exception:
        log.critical("went wrong: %s", 1, exc_info=True)
log.info("not wanted")
"""


def test_lines_of_libraries_check_like_ours_and_an_outage_has_no_traceback() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    first, second, third = (json.loads(line) for line in ran.stderr.splitlines())
    assert (first["event"], first["level"], first["error"]) == ("went wrong: 1", "critical", "OperationalError")
    assert second["error"] == "ConnectionRefusedError"
    assert "exception" not in first
    assert "exception" not in second
    assert "KeyError: 'ours'" in third["exception"]


TEXT = "from redrive.logs import configure; configure(); import structlog; structlog.get_logger().warning('it', n=1)"


@pytest.mark.parametrize(
    ("variables", "at_terminal", "colored"),
    [
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, False, True),
    ],
)
def test_text_has_colors_only_where_somebody_wants_them(
    tmp_path: Path, variables: dict[str, str], *, at_terminal: bool, colored: bool
) -> None:
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    env = {**inherited, "TERM": "xterm", "REDRIVE_LOG_FORMAT": "text", **variables}
    command = [sys.executable, "-c", TEXT]
    if at_terminal:
        line = on_terminal(command, cwd=tmp_path, env=env)
    else:
        line = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60).stderr
    assert "warning" in line
    assert ("\x1b[" in line) is colored
