"""A database in which much is stored and nothing is due."""

from psycopg import connect

from benchmarks.ground import Ground
from redrive.models.sql.migrate import upgrade
from tests.support.servers import Databases

BIG = "a0001"
"""The account that holds half of all rows; the others share the rest."""

# Of ten rows of each account nine have succeeded, and one has failed and is due tomorrow.
FILL = """
INSERT INTO redrive_tasks (account, kind, external_id, status, due_at, attempts, spent)
SELECT
    'a' || lpad(account::text, 4, '0'), 'review_task', n::text,
    CASE WHEN serial %% 10 = 0 THEN 'failed' ELSE 'succeeded' END,
    CASE WHEN serial %% 10 = 0 THEN clock_timestamp() + interval '1 day' + n %% 86400 * interval '1 second' END,
    1, 1
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN n %% 2 = 0 OR %(accounts)s = 1 THEN 1 ELSE 1 + n / 2 %% %(accounts)s END AS account,
        CASE WHEN n %% 2 = 0 OR %(accounts)s = 1 THEN n / 2 ELSE n / 2 / %(accounts)s END AS serial
) owner
"""
PART = 500_000

DUE = """
UPDATE redrive_tasks SET due_at = clock_timestamp() - interval '1 hour' WHERE id IN (
    SELECT id FROM redrive_tasks WHERE account = %s AND status = 'failed' AND next = 'retry'
    AND due_at > clock_timestamp() ORDER BY id LIMIT %s
)
"""


class Stored:
    """A database with so many rows over so many accounts; it goes with the server."""

    def __init__(self, ground: Ground, rows: int, accounts: int) -> None:
        self.rows = rows
        self._databases = Databases(ground.postgres.url).new()
        self.url = self._databases.__enter__()
        upgrade(self.url)
        self.connection = connect(ground.conninfo(self.url), autocommit=True)
        names = [f"a{n:04}" for n in range(1, accounts + 1)]
        self._fill(rows, accounts, names)

    def _fill(self, rows: int, accounts: int, names: list[str]) -> None:
        run = self.connection.execute
        run(
            "INSERT INTO redrive_accounts (name, provider) SELECT name, 'docflow' FROM unnest(%s::text[]) name", [names]
        )
        for first in range(1, rows + 1, PART):
            run(FILL, {"accounts": accounts, "first": first, "last": min(first + PART - 1, rows)})
        self.vacuum()

    def vacuum(self) -> None:
        self.connection.execute("VACUUM ANALYZE redrive_tasks")
        self.connection.execute("CHECKPOINT")

    def make_due(self, tasks: int) -> int:
        """Make so many tasks of the big account due; returns how many there were."""
        changed = self.connection.execute(DUE, [BIG, tasks]).rowcount
        self.vacuum()
        return changed

    def close(self) -> None:
        self.connection.close()
        self._databases.__exit__(None, None, None)


__all__ = ["BIG", "Stored"]
