"""What a million due tasks cost the broker: nothing, as they wait in the database."""

import time

import redis
from celery import Celery

from benchmarks.ground import Ground
from benchmarks.options import Options
from benchmarks.race import WARM_UP, pause, work
from benchmarks.redrive_system import Redrive
from benchmarks.tables import Table, Target

MORE_MB = 5.0
WATCHED_SECONDS = 15.0
MESSAGES = 20_000


def broker_memory(ground: Ground, options: Options) -> Table:
    """The broker's memory while the backlog is worked on, beside one message per task."""
    due = max(1000, options.rows // 10)
    redrive = Redrive(policy={"track_results": False})
    with ground.provider() as provider:
        try:
            redrive.start(ground, provider, "geelark")
            work(redrive, provider, 1, WARM_UP)
            empty = used(redrive.broker_url)
            redrive.add(WARM_UP + 1, due)
            most, until = empty, time.monotonic() + (3 if options.quick else WATCHED_SECONDS)
            while time.monotonic() < until and not redrive.finished():
                most = max(most, used(redrive.broker_url))
                pause(redrive, until + 60, 0.1)
        finally:
            redrive.close()
    per_message = message_mb(ground.broker())
    rows = [
        ("Redrive, nothing due", empty, 0.0),
        (f"Redrive, {due:,} due, at most", most, most - empty),
        (f"one Celery message per task, {due:,} due", empty + per_message * due, per_message * due),
    ]
    return Table(
        "broker", "The broker's memory", ("", "MB", "MB more"), rows,
        [Target(f"{due:,} due tasks, beside none", most - empty, MORE_MB, at_most=True, unit=" MB")],
        [f"The last row is worked out from {MESSAGES:,} messages of the hand-written solution."],
    )  # fmt: skip


def used(broker_url: str) -> float:
    """The memory of what the broker holds, in MB."""
    with redis.Redis.from_url(broker_url) as client:
        return int(client.info("memory")["used_memory_dataset"]) / 1e6


def message_mb(broker_url: str) -> float:
    """What one message of the hand-written solution takes."""
    before = used(broker_url)
    with Celery(broker=broker_url, set_as_current=False) as app, app.producer_pool.acquire(block=True) as producer:
        for n in range(MESSAGES):
            app.send_task("naive.retry", (n, str(n)), producer=producer, ignore_result=True)
    return (used(broker_url) - before) / MESSAGES
