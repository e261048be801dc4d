"""A home and its settings for tests of ``redrive up`` and its parts, and what runs below a process."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.page import accounts_toml, environment
from tests.support.processes import Process
from tests.support.servers import free_port

NOBODY = "http://127.0.0.1:9"
"""Where no provider listens: nothing is due, so nothing calls it."""


class Installation:
    """A home, settings, and the processes started with them."""

    def __init__(self, spawn: Callable[..., Process], directory: Path) -> None:
        self._spawn = spawn
        self.home = directory / "home"
        self.flower = f"127.0.0.1:{free_port()}"
        config = directory / "redrive.toml"
        config.write_text(f'{accounts_toml(SandboxConfig(), NOBODY)}\n[flower]\naddress = "{self.flower}"\n')
        self.env = {
            **environment(SandboxConfig()),
            "REDRIVE_HOME": str(self.home),
            "REDRIVE_CONFIG": str(config),
        }

    def start(self, *command: str, ready: Any = None, **env: str) -> Process:
        """Start ``redrive COMMAND``."""
        args = [sys.executable, "-P", "-m", "redrive", *command]
        return self._spawn(args, {**self.env, **env}, ready=ready)

    def up(self, *options: str, **env: str) -> Process:
        """Start ``redrive up`` and wait until its worker and scheduler work."""

        def ready() -> bool:
            output = process.output()
            return "worker.started" in output and "scheduler.started" in output

        process = self.start("up", *options, **env)
        process.wait_ready(ready)
        return process

    def broker_url(self) -> str:
        """The embedded broker's, as other commands find it."""
        return (self.home / "broker.url").read_text()
