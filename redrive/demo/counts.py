"""What the demo knows while it runs: from the database what became of tasks, from the sandbox what it saw."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from sqlalchemy import func, select

from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.models.sql.db import Database
from redrive.models.sql.tables import tasks
from redrive.models.states import ENDED_STATES

from .compare import PROVIDERS, Ended

PATHS = {GEELARK.account: "/open/", HUAWEI_WORKSPACE.account: "/v", DOCFLOW.account: "/api/"}
"""How the API paths of each account's provider begin."""


@dataclass(frozen=True, slots=True)
class Counts:
    """One moment of the run.

    Attributes:
        tasks: (account, status) → how many.
        stats: what the sandbox says of itself.
    """

    tasks: Mapping[tuple[str, str], int]
    stats: Mapping[str, Any]

    @property
    def total(self) -> int:
        """All tasks."""
        return sum(self.tasks.values())

    def by_status(self) -> Counter[str]:
        """Tasks of all accounts."""
        counted: Counter[str] = Counter()
        for (_, status), count in self.tasks.items():
            counted[status] += count
        return counted

    @property
    def ended(self) -> int:
        """Tasks that will not move again."""
        return sum(self.by_status()[status] for status in ENDED_STATES)

    def calls(self, account: str) -> int:
        """HTTP calls the account's provider got."""
        return sum(count for path, count in self.stats["calls"].items() if path.startswith(PATHS[account]))

    def accepted(self, account: str) -> int:
        """Retries the account's provider took."""
        return int(self.stats["retries"].get(PROVIDERS[account], {}).get("accepted", 0))


class Observer:
    """Asks the database and the sandbox."""

    def __init__(self, database_url: str, sandbox_url: str) -> None:
        self._database = Database(database_url)
        self._sandbox = httpx.Client(base_url=f"{sandbox_url}/_sandbox", trust_env=False, timeout=10)

    def close(self) -> None:
        """Drop the connections."""
        self._sandbox.close()
        self._database.close()

    def counts(self) -> Counts:
        """How things stand."""
        statement = select(tasks.c.account, tasks.c.status, func.count().label("tasks"))
        with self._database.reading() as t:
            rows = t.rows(statement.group_by(tasks.c.account, tasks.c.status))
        return Counts({(row.account, row.status): row.tasks for row in rows}, self._ask("/stats"))

    def ended(self) -> list[Ended]:
        """Every task, with the retries that its provider took."""
        names = ("account", "kind", "external_id", "sub_id", "status", "dead_reason", "spent")
        with self._database.reading() as t:
            rows = t.mappings(select(*(tasks.c[name] for name in names)).order_by(tasks.c.id))
        return [Ended(**row, accepted=self._accepted(row)) for row in rows]

    def _accepted(self, row: Mapping[str, Any]) -> int:
        """Zero for a task that the sandbox does not know."""
        found = self._sandbox.get(f"/tasks/{row['sub_id'] or row['external_id']}")
        if found.status_code == httpx.codes.NOT_FOUND:
            return 0
        asked = PROVIDERS[row["account"]], row["kind"]
        return sum(task["accepted"] for task in found.json() if (task["provider"], task["kind"]) == asked)

    def _ask(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._sandbox.get(path).raise_for_status().json()
        return answer
