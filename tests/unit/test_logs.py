import json
import subprocess
import sys

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


def test_lines_of_libraries_look_like_ours_and_an_outage_has_no_traceback() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    first, second, third = (json.loads(line) for line in ran.stderr.splitlines())
    assert (first["event"], first["level"], first["error"]) == ("went wrong: 1", "critical", "OperationalError")
    assert second["error"] == "ConnectionRefusedError"
    assert "exception" not in first
    assert "exception" not in second
    assert "KeyError: 'ours'" in third["exception"]
