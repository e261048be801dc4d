import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_of_its_own(tmp_path: Path, number: signal.Signals) -> None:
    """It says where it listens once it does, and ends cleanly when told to, calls that hang and all."""
    port_file = tmp_path / "port"
    command = [sys.executable, "-P", "-m", "redrive.sandbox", "--port", "0", "--port-file", port_file]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("sandbox on http://127.0.0.1:")
        url = f"http://127.0.0.1:{port_file.read_text()}"
        with httpx.Client(base_url=url, trust_env=False) as http:
            assert "WHAT AN ID SAYS" in http.get("/").text
            http.post("/_sandbox/faults", json={"path": "/open/*", "fault": "hang"})
            with pytest.raises(httpx.ReadTimeout):
                http.post("/open/v1/task/query", timeout=0.1)
            process.send_signal(number)
            output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")
