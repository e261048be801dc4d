import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from redrive.sandbox.faults import Fault, FaultKind, Faults

ROOT = Path(__file__).parents[2]
COMMANDS = {
    "module": [sys.executable, "-P", "-m", "redrive.sandbox"],
    "command": [sys.executable, "-P", "-m", "redrive", "sandbox"],
}


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


@pytest.mark.processes
def test_tasks_to_import_are_written_where_nothing_is(tmp_path: Path) -> None:
    """For those who have no checkout with examples; a file of somebody's stays."""
    command = [*COMMANDS["command"], "--port", "0", "--write-tasks", "tasks.csv"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        next(line for line in process.stdout if line.startswith("It is http://"))
        process.terminate()
    assert (tmp_path / "tasks.csv").read_text() == (ROOT / "examples" / "demo_tasks.csv").read_text()
    (tmp_path / "tasks.csv").write_text("mine")
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert (again.returncode, "--write-tasks" in again.stderr, "File exists" in again.stderr) == (2, True, True)
    assert (tmp_path / "tasks.csv").read_text() == "mine"


@pytest.mark.processes
@pytest.mark.parametrize("command", COMMANDS)
def test_dice_and_ids_are_chosen_when_it_starts(tmp_path: Path, command: str) -> None:
    """Both ways to start it take the seed of its dice, and whether Huawei answers new ids."""
    port_file = tmp_path / "port"
    arguments = ["--port", "0", "--port-file", port_file, "--seed", "7", "--huawei-same-ids"]
    with subprocess.Popen([*COMMANDS[command], *arguments], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "http://127.0.0.1:" not in process.stdout.readline():
            pass
        url = f"http://127.0.0.1:{port_file.read_text()}"
        with httpx.Client(base_url=url, trust_env=False) as http:
            path = f"/v2/{'0123456789abcdef' * 2}/script-executions/retry"
            answer = http.post(path, json={"task_id": "t1"}, headers={"X-Auth-Token": "sandbox-auth-token"})
            dice = {"path": "/open/*", "fault": "status", "probability": 0.5}
            http.post("/_sandbox/faults", json=dice)
            struck = [http.post("/open/v1/task/query").status_code == 503 for _ in range(20)]
        process.terminate()
        process.communicate(timeout=10)
    assert answer.json() == {"task_id": "t1"}
    faults = Faults(7)
    faults.add(Fault(path="/open/*", fault=FaultKind.STATUS, probability=0.5))
    assert struck == [faults.strike("/open/v1/task/query") is not None for _ in range(20)]


@pytest.mark.processes
@pytest.mark.parametrize("command", COMMANDS)
def test_a_port_in_use_is_named(tmp_path: Path, command: str) -> None:
    """With the way out, and an address that is not this machine's, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments, words in (
            (["--port", str(port)], f"--port: {port} is in use on 127.0.0.1; name another, or 0 for a free one"),
            (["--host", "192.0.2.1"], "--host: 192.0.2.1 cannot be listened on: "),
        ):
            done = subprocess.run(
                [*COMMANDS[command], *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
            )
            assert done.returncode in (1, 2)
            assert done.stderr.startswith(words)
            assert "Traceback" not in done.stderr
