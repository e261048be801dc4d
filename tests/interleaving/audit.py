"""The auditor: all rows as everybody else sees them, and what must hold of them after every commit."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table

from redrive.models.ledger.rows import end_name
from redrive.models.ledger.totals import totals_now
from redrive.models.rules import Rules
from redrive.models.sql.db import Transaction
from redrive.models.sql.tables import accounts, attempts, batches, limits, tasks

Row = Mapping[str, Any]
OPEN_BATCHES = ("queued", "sending")
ENDS = ("succeeded", "dead")
_ORDER = {"queued": 0, "sending": 1, "done": 2, "lost": 2}
_UUID = 32
_SETTLES_LATER = {"result", "settled_at"}


@dataclass(frozen=True)
class Rows:
    """Every row that matters, by its key."""

    tasks: Mapping[int, Row] = field(default_factory=dict)
    attempts: Mapping[tuple[int, int], Row] = field(default_factory=dict)
    batches: Mapping[int, Row] = field(default_factory=dict)
    limits: Mapping[tuple[str, str], Row] = field(default_factory=dict)
    accounts: Mapping[str, Row] = field(default_factory=dict)

    @classmethod
    def read(cls, connection: Connection) -> "Rows":
        def rows(table: Table) -> list[Row]:
            # Past SQLAlchemy's types, which would take most of a play's time.
            found = connection.exec_driver_sql(f'SELECT * FROM "{table.name}"').mappings()
            return [{name: _value(name, value) for name, value in row.items()} for row in found]

        return cls(
            {row["id"]: row for row in rows(tasks)},
            {(row["task_id"], row["number"]): row for row in rows(attempts)},
            {row["id"].int: row for row in rows(batches)},
            {(row["group"], row["path"]): row for row in rows(limits)},
            {row["name"]: row for row in rows(accounts)},
        )

    def open_attempts(self, task_id: int) -> list[Row]:
        return [row for row in self.attempts.values() if row["task_id"] == task_id and row["closed_at"] is None]

    def moments(self) -> Iterator[datetime]:
        """When somebody will have something to do."""
        yield from (row["due_at"] for row in self.tasks.values() if row["due_at"])
        yield from (row["publish_at"] for row in self.batches.values() if row["status"] == "queued")
        yield from (row["lease_until"] for row in self.batches.values() if row["status"] == "sending")
        for row in self.limits.values():
            yield from (row[name] for name in ("next_at", "blocked_until", "open_until") if row[name])
        yield from (row["probe_at"] for row in self.accounts.values() if row["probe_at"])

    def work_for_schedulers(self, now: datetime) -> bool:
        """Whether a pass could find something."""
        due = any(row["due_at"] and row["due_at"] <= now for row in self.tasks.values())
        over = any(row["status"] == "sending" and row["lease_until"] <= now for row in self.batches.values())
        return due or over or any(r["status"] == "queued" and r["publish_at"] <= now for r in self.batches.values())

    @property
    def unfinished(self) -> list[str]:
        """What is not over yet, in words."""
        found = [
            f"task {row['external_id']} is {row['status']}" for row in self.tasks.values() if row["status"] not in ENDS
        ]
        found += [f"batch {n} is {row['status']}" for n, row in self.batches.items() if row["status"] in OPEN_BATCHES]
        return found + [f"an attempt of task {i} is open" for i in self.tasks if self.open_attempts(i)]


def _value(name: str, value: Any) -> Any:
    """What SQLite keeps as text, as what it is."""
    if not isinstance(value, str):
        return value
    if name.endswith(("_at", "_until")):
        return datetime.fromisoformat(value).replace(tzinfo=UTC)
    if name == "batch_id" or (name == "id" and len(value) == _UUID):
        return UUID(value)
    return json.loads(value) if name == "task_ids" else value


def limit_of(row: Row, rules: Rules) -> int:
    own = rules.policy.max_retries if row["max_retries"] is None else row["max_retries"]
    cap = rules.capabilities.retry_cap
    return int(own + row["granted"] if cap is None else min(cap, own + row["granted"]))


# --- What must hold of the rows at any moment -------------------------------------------------------------------------


def standing(rows: Rows, rules: Mapping[str, Rules]) -> Iterator[str]:
    """What is wrong with the rows as they are."""
    for row in rows.tasks.values():
        for words in _task(row, rows, rules[row["account"]]):
            yield f"task {row['external_id']} ({row['status']}): {words}"
    for row in rows.attempts.values():
        batch = rows.batches.get(row["batch_id"].int)
        if row["closed_at"] is None and (batch is None or batch["status"] != "sending"):
            yield f"attempt {row['number']} of task {row['task_id']} is open, and no batch will close it"
    in_flight = Counter((r["account"], r["operation"]) for r in rows.batches.values() if r["status"] in OPEN_BATCHES)
    for (account, operation), count in in_flight.items():
        if count > rules[account].max_in_flight:
            yield f"{count} {operation} batches of {account} are under way"


def _task(row: Row, rows: Rows, rules: Rules) -> Iterator[str]:
    own = [attempt for attempt in rows.attempts.values() if attempt["task_id"] == row["id"]]
    open_ones = rows.open_attempts(row["id"])
    if len(open_ones) > 1:
        yield "two attempts are open"
    if row["spent"] != sum(attempt["spent"] for attempt in own) or row["attempts"] != len(own):
        yield f"counts {row['spent']} of {row['attempts']} spent, its attempts say otherwise"
    if row["spent"] + len(open_ones) > limit_of(row, rules):
        yield f"{row['spent']} spent and {len(open_ones)} open, of {limit_of(row, rules)}"
    yield from _place(row, rows)


def _place(row: Row, rows: Rows) -> Iterator[str]:
    """Each task stands in the one place that its status says."""
    status, due = row["status"], row["due_at"]
    batch = rows.batches.get(row["batch_id"].int) if row["batch_id"] else None
    if status == "in_flight":
        if batch is None or batch["status"] not in OPEN_BATCHES or row["id"] not in batch["task_ids"]:
            yield f"its batch is {batch['status'] if batch else 'nowhere'}"
    elif batch is not None:
        yield "stands in a batch"
    if (due is not None) != (status in {"failed", "canceled", "retrying", "unknown"}):
        yield f"is due at {due}"
    if status in {"retrying", "unknown"} and row["next"] != "check":
        yield "is not looked at"


# --- What must hold of a change ---------------------------------------------------------------------------------------


def changed(old: Rows, new: Rows, rules: Mapping[str, Rules], now: datetime) -> Iterator[str]:
    """What is wrong with a transaction that made the old rows new."""
    for task_id, row in new.tasks.items():
        before = old.tasks.get(task_id, row)
        if row["spent"] < before["spent"] or row["attempts"] < before["attempts"]:
            yield f"task {row['external_id']} has spent less than before"
    for key, row in old.attempts.items():
        yield from _attempt(row, new.attempts.get(key))
    for number, row in new.batches.items():
        yield from _batch(number, old.batches.get(number), row, rules[row["account"]], now)
    for path, row in old.limits.items():
        for name in ("next_at", "blocked_until"):
            if row[name] and (new.limits[path][name] is None or new.limits[path][name] < row[name]):
                yield f"{name} of {path[1]} fell"


def _attempt(old: Row, new: Row | None) -> Iterator[str]:
    words = f"attempt {old['number']} of task {old['task_id']}"
    if new is None:
        yield f"{words} is gone"
    elif old["closed_at"] is not None and {k: v for k, v in old.items() if k not in _SETTLES_LATER} != {
        k: v for k, v in new.items() if k not in _SETTLES_LATER
    }:
        yield f"{words} was closed as {old['outcome']} and is closed again as {new['outcome']}"


def _batch(number: int, old: Row | None, new: Row, rules: Rules, now: datetime) -> Iterator[str]:
    before = old["status"] if old else "queued"
    if _ORDER[new["status"]] < _ORDER[before] or (before in {"done", "lost"} and old != new):
        yield f"batch {number} was {before} and is {new['status']}"
    if old and old["begun_at"] and (old["begun_at"], old["lease_until"]) != (new["begun_at"], new["lease_until"]):
        yield f"batch {number} was begun twice"
    lease = timedelta(seconds=rules.lease_seconds)
    if before == "queued" and new["begun_at"] and new["lease_until"] != new["begun_at"] + lease:
        seconds = (new["lease_until"] - new["begun_at"]).total_seconds()
        yield f"the lease of batch {number} ends {seconds} s after its begin"
    if before == "sending" and old is not None and new["status"] == "lost" and old["lease_until"] > now:
        yield f"batch {number} was rescued {(old['lease_until'] - now).total_seconds()} s before the end of its lease"


def paused(since: Rows, old: Rows, new: Rows) -> Iterator[str]:
    """Nothing is opened after a pause. A step may not have seen one that came after it had started, at ``since``."""
    for key, row in new.attempts.items():
        batch = row["batch_id"].int
        account = since.accounts[new.batches[batch]["account"]]
        if key not in old.attempts and account["paused_at"] is not None and not new.batches[batch]["probe"]:
            yield f"attempt {key[1]} of task {key[0]} was opened although {account['name']} is paused"


def fenced(old: Rows, new: Rows, batch: int) -> Iterator[str]:
    """A worker whose batch was over before its transaction changes nothing."""
    if batch in old.batches and old.batches[batch]["status"] in {"done", "lost"} and old != new:
        yield f"a late record of batch {batch}, which was {old.batches[batch]['status']}, changed something"


def counted(connection: Connection, rows: Rows) -> Iterator[str]:
    """The totals say what the rows say."""
    said = {(row.account, row.name): row.value for row in totals_now(Transaction.over(connection))}
    found: Counter[tuple[str, str]] = Counter()
    for row in rows.tasks.values():
        if name := end_name(row["status"], row["dead_reason"]):
            found[row["account"], name] += 1
    for row in rows.attempts.values():
        account = rows.tasks[row["task_id"]]["account"]
        if row["closed_at"] is not None:
            found[account, "attempts"] += 1
            found[account, "spent"] += row["spent"]
    for key in {*found, *(key for key in said if key[1].startswith(("succeeded", "dead", "attempts", "spent")))}:
        if found[key] != said.get(key, 0):
            yield f"the total {key} is {said.get(key, 0)}, the rows say {found[key]}"
