"""How late calls leave: the moments that were granted, as the database knows them, beside the provider's clock."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg

# An attempt is opened in the transaction that took its permit: so the two are put together again.
WATCH = """
CREATE UNLOGGED TABLE bench_permits (xact xid8, account text, path text, next_at timestamptz);
CREATE UNLOGGED TABLE bench_opened (xact xid8, task_id bigint);
CREATE FUNCTION bench_permit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO bench_permits VALUES (pg_current_xact_id(), new."group", new.path, new.next_at);
    RETURN NULL;
END $$;
CREATE FUNCTION bench_open() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO bench_opened VALUES (pg_current_xact_id(), new.task_id);
    RETURN NULL;
END $$;
CREATE TRIGGER bench_permit AFTER UPDATE OF next_at ON redrive_limits
    FOR EACH ROW WHEN (old.next_at IS DISTINCT FROM new.next_at) EXECUTE FUNCTION bench_permit();
CREATE TRIGGER bench_open AFTER INSERT ON redrive_attempts FOR EACH ROW EXECUTE FUNCTION bench_open();
"""
STOP = "DROP TRIGGER bench_permit ON redrive_limits; DROP TRIGGER bench_open ON redrive_attempts"
GRANTED = """
SELECT extract(epoch FROM max(next_at))::float8, array_agg(DISTINCT external_id)
FROM bench_permits JOIN bench_opened USING (xact)
JOIN redrive_tasks t ON t.id = task_id AND t.account = bench_permits.account
WHERE path = %s GROUP BY xact, t.account
"""


class Granted(NamedTuple):
    """Permits of one account in one transaction, an interval apart, for one task each.

    Attributes:
        next_at: the moment an interval after the last of them.
    """

    next_at: float
    ids: Sequence[str]


@contextmanager
def watched(connection: psycopg.Connection[Any], path: str) -> Iterator[list[Granted]]:
    """Collect what is granted on an API path of retries in the block; known when it is over."""
    found: list[Granted] = []
    connection.execute(WATCH)
    try:
        yield found
    finally:
        connection.execute(STOP)
        found += (Granted(*row) for row in connection.execute(GRANTED, [path]))


def lateness(granted: Sequence[Granted], arrived: Mapping[str, float], interval: float) -> list[float]:
    """From each moment to its call's arrival. Permits whose calls have not all been made are left out."""
    late: list[float] = []
    for next_at, ids in granted:
        calls = sorted(arrived[id_] for id_ in ids if id_ in arrived)
        if len(calls) == len(ids):
            late += (call - next_at + interval * (len(ids) - i) for i, call in enumerate(calls))
    return late
