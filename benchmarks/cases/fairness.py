"""A million tasks of one account, and ten of others that must not wait for them."""

import time
from statistics import median

from benchmarks.ground import Ground
from benchmarks.options import Options
from benchmarks.race import pause, say
from benchmarks.redrive_system import KINDS, Redrive
from benchmarks.tables import Table, Target

SMALL, TASKS = 10, 10
WITHIN_SECONDS = 2.0
UNDER_WAY_SECONDS = 3.0

ADD = """
INSERT INTO redrive_tasks (account, kind, external_id, status)
SELECT 'small' || a, %s, n::text, 'failed' FROM generate_series(1, %s) a, generate_series(1, %s) n
"""
LEFT = """
SELECT EXISTS (SELECT 1 FROM redrive_tasks WHERE account LIKE 'small%' AND status IN ('failed', 'in_flight'))
"""


def fairness(ground: Ground, options: Options) -> Table:
    """How long the last of the hundred waits for its answer, while the million is worked on."""
    due = max(50_000, options.rows // 10)
    runs = [one(ground, due, number) for number in range(1, options.runs + 1)]
    rows = [(f"Redrive, run {n}", seconds, left) for n, (seconds, left) in enumerate(runs, start=1)]
    return Table(
        "fairness", f"{SMALL} accounts with {TASKS} tasks each beside one with {due:,}",
        ("", "seconds until all of theirs were answered", "of the one account still due"), rows,
        [Target("median", median(seconds for seconds, _ in runs), WITHIN_SECONDS, at_most=True, unit=" s")],
        ["GeeLark, 100 ids a call, one worker, all limits lifted: the one account alone keeps everything busy."],
    )  # fmt: skip


def one(ground: Ground, due: int, number: int) -> tuple[float, int]:
    accounts = {"bench": "geelark"} | {f"small{n}": "geelark" for n in range(1, SMALL + 1)}
    redrive = Redrive(accounts=accounts)
    with ground.provider() as provider:
        try:
            redrive.start(ground, provider, "geelark")
            redrive.add(1, due)
            time.sleep(UNDER_WAY_SECONDS)
            seconds = waited(redrive)
            left = redrive.connection.execute("SELECT count(*) FROM redrive_tasks WHERE status = 'failed'").fetchone()
        finally:
            redrive.close()
    if left is None or not left[0]:
        raise RuntimeError("the one account was done first: nothing was measured")
    say(f"  run {number}: {seconds:.2f} s")
    return seconds, int(left[0])


def waited(redrive: Redrive) -> float:
    began = time.monotonic()
    redrive.connection.execute(ADD, [KINDS["geelark"], SMALL, TASKS])
    redrive.wake()
    while (row := redrive.connection.execute(LEFT).fetchone()) and row[0]:
        pause(redrive, began + 120, 0.02)
    return time.monotonic() - began
