"""Makes docs/images/status.svg: real commands of a real service against the sandbox. Run by ``make picture``."""  # noqa: INP001 - a script beside what it makes

import io
import json
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
TASKS = HERE.parents[1] / "examples" / "demo_tasks.csv"
REDRIVE = (sys.executable, "-P", "-m", "redrive")
COLUMNS = 112
OUTAGE = {"path": "/api/*", "fault": "status", "status": 503, "count": 200}
"""What makes a picture: one of the three providers is down."""

ENDED = 40
"""Tasks that have succeeded by then."""


@contextmanager
def running(*command: str, environment: dict[str, str]) -> Iterator[None]:
    """A part of the service."""
    with subprocess.Popen([*REDRIVE, *command], env=environment, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            yield
        finally:
            process.terminate()


def shown(*command: str, environment: dict[str, str]) -> str:
    """What a command writes on a terminal, colours and all."""
    ours, theirs = pty.openpty()
    done = subprocess.Popen([*REDRIVE, *command], env=environment, stdin=theirs, stdout=theirs)  # noqa: S603
    os.close(theirs)
    written = bytearray()
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # Linux says so when the terminal's other side is closed
        pass
    os.close(ours)
    done.wait()
    return written.decode().replace("\r\n", "\n")


def asked(*command: str, environment: dict[str, str]) -> list[dict[str, object]]:
    """What a command says as JSON."""
    output = subprocess.run([*REDRIVE, *command, "--json"], env=environment, capture_output=True, check=True).stdout  # noqa: S603
    answer: list[dict[str, object]] = json.loads(output)
    return answer


def configured(home: Path, port_file: Path) -> str:
    """A redrive.toml that leads to the sandbox; returns its address."""
    from redrive.sandbox.config import SandboxConfig  # noqa: PLC0415 - only here
    from redrive.sandbox.page import accounts_toml  # noqa: PLC0415 - as above

    while not port_file.exists():
        time.sleep(0.1)
    url = f"http://127.0.0.1:{port_file.read_text()}"
    (home / "redrive.toml").write_text(accounts_toml(SandboxConfig(), url))
    return url


def main() -> None:
    """Make the picture."""
    from redrive.sandbox.config import SandboxConfig  # noqa: PLC0415 - only here
    from redrive.sandbox.page import environment  # noqa: PLC0415 - as above

    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        env = {**os.environ, **environment(SandboxConfig()), "REDRIVE_HOME": str(home), "COLUMNS": str(COLUMNS)}
        env |= {"REDRIVE_CONFIG": str(home / "redrive.toml"), "TERM": "xterm-256color"}
        port_file = home / "port"
        stack.enter_context(running("sandbox", "--port", "0", "--port-file", str(port_file), environment=env))
        url = configured(home, port_file)
        urlopen(Request(f"{url}/_sandbox/faults", json.dumps(OUTAGE).encode()))  # noqa: S310 - our own sandbox
        subprocess.run([*REDRIVE, "migrate"], env=env, check=True)  # noqa: S603
        subprocess.run([*REDRIVE, "import", str(TASKS)], env=env, check=True)  # noqa: S603
        stack.enter_context(running("up", "--no-flower", environment=env))
        while len(asked("list", "-s", "succeeded", environment=env)) < ENDED:
            time.sleep(0.5)
        (unknown, *_) = asked("list", "-a", "reviews", "-s", "unknown", environment=env)
        console = Console(record=True, width=COLUMNS, file=io.StringIO())
        for command in (("status",), ("explain", str(unknown["id"]))):
            console.print(f"[bold]$ redrive {' '.join(command)}[/bold]")
            console.print(Text.from_ansi(shown(*command, environment=env)))
        console.save_svg(str(HERE / "status.svg"), title="redrive")


if __name__ == "__main__":
    main()
