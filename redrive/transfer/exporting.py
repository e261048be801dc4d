"""Tasks → a file, page by page in id order."""

import csv
import json
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime
from functools import partial
from typing import IO, Any

from redrive.models import queries
from redrive.models.sql.db import Database
from redrive.models.states import Status
from redrive.models.task import Task

from .columns import EXPORTED
from .formulas import written

ROWS_A_QUERY = 1000

Write = Callable[[IO[str], Iterable[Task]], None]
"""Writes tasks to a file."""


def walk(
    database: Database,
    leave_out: Callable[[int], None],
    *,
    account: Collection[str] = (),
    status: Collection[str] = (),
) -> Iterator[Task]:
    """All tasks that match, each as it was when its page was read; ``leave_out`` is called for unreadable ones."""
    wanted = queries.TaskFilter(accounts=tuple(account), statuses=tuple(map(Status, status)))
    after = 0
    while True:
        with database.reading() as t:
            ids = queries.page_of_ids(t, wanted, after=after, limit=ROWS_A_QUERY)
            found = {task.id: task for task in queries.by_ids(t, ids)}
        if not ids:
            return
        for task_id in ids:
            if task_id in found:
                yield found[task_id]
            else:
                leave_out(task_id)
        after = ids[-1]


def write_csv(file: IO[str], tasks: Iterable[Task], *, safe: bool = False) -> None:
    """CSV with a header; params as JSON text.

    Args:
        file: where to.
        tasks: what of.
        safe: no spreadsheet runs a cell as a formula; an import reads the cell that was meant.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(EXPORTED)
    for task in tasks:
        row = _row(task)
        row["params"] = _json(row["params"]) if row["params"] else ""
        writer.writerow(written(cell, safe=safe) if isinstance(cell, str) else cell for cell in row.values())


def write_json_lines(file: IO[str], tasks: Iterable[Task]) -> None:
    """One object per line."""
    file.writelines(_json(_row(task)) + "\n" for task in tasks)


WRITERS: dict[str, Write] = {"csv": write_csv, "safe-csv": partial(write_csv, safe=True), "jsonl": write_json_lines}


def _row(task: Task) -> dict[str, Any]:
    row = {name: task.last_error if name == "reason" else getattr(task, name) for name in EXPORTED}
    return {name: _moment(value) if isinstance(value, datetime) else value for name, value in row.items()}


def _moment(at: datetime) -> str:
    """As everywhere, but not rounded to what people read."""
    return at.isoformat().replace("+00:00", "Z")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
