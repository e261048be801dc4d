"""The tables of the hand-written solutions that record attempts, and what is due in them."""

from benchmarks import plain

ATTEMPTS = """
CREATE TABLE attempts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id bigint NOT NULL REFERENCES tasks,
    outcome text NOT NULL,
    message text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX attempts_task_idx ON attempts (task_id);
"""
BATCHED = plain.SCHEMA + ATTEMPTS
PACED = (
    """
CREATE TABLE accounts (name text PRIMARY KEY);
CREATE TABLE tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL REFERENCES accounts,
    external_id text NOT NULL UNIQUE,
    status text NOT NULL DEFAULT 'failed',
    due_at timestamptz DEFAULT clock_timestamp(),
    attempts int NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX tasks_failed_idx ON tasks (account, due_at) WHERE status = 'failed';
CREATE INDEX tasks_retrying_idx ON tasks (account, due_at) WHERE status = 'retrying';
CREATE INDEX tasks_queued_idx ON tasks (account) WHERE status = 'queued';
CREATE INDEX tasks_checking_idx ON tasks (account) WHERE status = 'checking';
"""
    + ATTEMPTS
)

AHEAD = 3
"""Messages per account and operation that wait for their moments: the scan comes every second, or a little later."""
SCAN = """
UPDATE tasks SET status = '{under_way}' WHERE id IN (
    SELECT due.id FROM accounts CROSS JOIN LATERAL (
        SELECT id FROM tasks WHERE account = accounts.name AND status = '{status}' AND due_at <= clock_timestamp()
        ORDER BY due_at LIMIT {ahead} - (
            SELECT least(count(*), {ahead}) FROM tasks WHERE account = accounts.name AND status = '{under_way}'
        )
        FOR UPDATE SKIP LOCKED
    ) due
) RETURNING id, account, external_id
"""
RETRIES = SCAN.format(status="failed", under_way="queued", ahead=AHEAD)
CHECKS = SCAN.format(status="retrying", under_way="checking", ahead=AHEAD)
