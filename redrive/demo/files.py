"""The demo's files: what a user would write to try the same by hand."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from redrive.models.errors import BadInput
from redrive.models.settings import Environment, Settings, hide_password, load
from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from redrive.models.sql.tables import tasks

from ..sandbox.config import SandboxConfig
from ..sandbox.page import accounts_toml, environment
from ..sandbox.samples import sample_rows, write_csv
from ..supervisor import python_part

DATABASE = "REDRIVE_DATABASE_URL"

HASTE = 4
# Long waits are for real providers: the sandbox's runs take a moment.
_WAITS = {"base_seconds": 0.2, "check_after_seconds": 0.6, "check_max_seconds": 2, "settle_seconds": 1}


@dataclass(frozen=True, slots=True)
class Files:
    """What lies in the demo's home.

    Attributes:
        home: the directory.
        sandbox: what the sandbox serves.
        variables: the environment that leads here, with the sandbox's credentials. Only a database may come from
            outside: a broker there may have workers that would take the demo's jobs.
    """

    home: Path
    sandbox: SandboxConfig
    variables: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        database_url = os.environ.get("REDRIVE_DATABASE_URL") or Environment(home=self.home).used_database_url
        own = {"REDRIVE_HOME": str(self.home), "REDRIVE_CONFIG": str(self.config), DATABASE: database_url}
        object.__setattr__(self, "variables", {**environment(self.sandbox), **own})

    @property
    def config(self) -> Path:
        """The settings."""
        return self.home / "redrive.toml"

    @property
    def tasks(self) -> Path:
        """What is imported."""
        return self.home / "tasks.csv"

    @property
    def port(self) -> Path:
        """Written by the sandbox once it takes connections."""
        return self.home / "sandbox.port"

    @property
    def log(self) -> Path:
        """What all parts write."""
        return self.home / "demo.log"

    @property
    def sandbox_url(self) -> str:
        """Where the sandbox is, once it is there."""
        return f"http://127.0.0.1:{self.port.read_text()}"

    def write_settings(self) -> Settings:
        """Accounts at the sandbox; returned as the parts will read them."""
        suggested = accounts_toml(self.sandbox, self.sandbox_url, _WAITS)
        # Faster where a pace is written, which is where the sandbox has no limit; GeeLark's published one holds.
        faster = re.sub(r"(calls_per_\w+) = (\d+)", lambda pace: f"{pace[1]} = {HASTE * int(pace[2])}", suggested)
        self.config.write_text(faster)
        return load(environ=self.variables)

    def make_database(self) -> str:
        """The database with its tables; its address.

        Raises:
            BadInput: there are tasks in it, which are none of the sandbox's.
        """
        url = load(environ=self.variables, required=False).environment.database_url or ""
        migrate.upgrade(url)
        database = Database(url)
        try:
            with database.reading() as t:
                used = t.rows(select(tasks.c.id).limit(1))
        finally:
            database.close()
        if used:
            words = f"unset {DATABASE}, or let it name another"
            raise BadInput(f"{hide_password(url)} holds tasks, and a demo needs an empty database; {words}")
        return url

    def import_tasks(self, n_per_provider: int) -> int:
        """Write the tasks and import them, by the command that a user would give; how many."""
        rows = sample_rows(n_per_provider)
        with self.tasks.open("w", newline="") as file:
            write_csv(rows, file)
        done = subprocess.run(  # noqa: S603 - our own command
            python_part("redrive", "import", str(self.tasks)),
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise BadInput(f"redrive import {self.tasks} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return len(rows)
