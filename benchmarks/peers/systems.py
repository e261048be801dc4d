"""Other libraries doing the same work: one job per task, one HTTP call, one row update.

Each runs as many processes as there are cores. The scan that enqueues what is due is a job of its own and starts itself
again while there is more, where the hand-written solution has its beat.
"""

import asyncio
import json
import os
from abc import abstractmethod
from importlib.metadata import version
from uuid import uuid4

import redis
from taskiq.kicker import AsyncKicker
from taskiq_redis import RedisStreamBroker

from benchmarks import plain
from benchmarks.ground import Ground
from benchmarks.systems import PlainSystem

PROCESSES = os.cpu_count() or 2
PACKAGE = "benchmarks.peers"


def every(words: str) -> str:
    """The expression for words that each process says: one that still starts would pay for it while it is timed."""
    return rf"(?s)({words}.*){{{PROCESSES}}}"


class Peer(PlainSystem):
    """A peer by name."""

    library: str

    def __init__(self, *, share: float = 1.0) -> None:
        super().__init__()
        self.name = f"{self.library} {version(self.library)}"
        self.share = share

    @abstractmethod
    def start_workers(self, ground: Ground) -> None: ...


class Procrastinate(Peer):
    """Jobs in PostgreSQL, two processes of asynchronous tasks."""

    library = "procrastinate"
    settings = f"{PROCESSES} processes, concurrency = 50 each, asynchronous httpx, 10 pooled connections each"

    def start_workers(self, ground: Ground) -> None:
        run = ("-m", "procrastinate", f"--app={PACKAGE}.procrastinate_app.app")
        schema = ground.spawn(*run, "schema", "--apply", env=self.env)
        if schema.wait() != 0:
            raise RuntimeError(schema.output())
        schema.kill()
        self.processes += [
            ground.spawn(*run, "worker", "--concurrency=50", env=self.env, ready="Starting worker")
            for _ in range(PROCESSES)
        ]

    def scan(self) -> None:
        job = "('scan', 'scan', 0, NULL, NULL, '{}', NULL)::procrastinate_job_to_defer_v1"
        self.connection.execute(f"SELECT procrastinate_defer_jobs_v1(ARRAY[{job}])")


class Dramatiq(Peer):
    """Redis, processes of threads."""

    library = "dramatiq"

    def __init__(self, threads: int, *, share: float = 1.0) -> None:
        super().__init__(share=share)
        self._threads = threads
        self.settings = (
            f"{PROCESSES} processes of {threads} threads, one pooled httpx.Client and 10 pooled connections each"
        )

    def start_workers(self, ground: Ground) -> None:
        options = ("--processes", str(PROCESSES), "--threads", str(self._threads))
        run = ("-m", "dramatiq", f"{PACKAGE}.dramatiq_app:broker", *options)
        self.processes.append(ground.spawn(*run, env=self.env, ready=every("Worker process is ready for action")))

    def scan(self) -> None:
        message_id = str(uuid4())
        message = {
            "queue_name": "scan", "actor_name": "scan", "args": [], "kwargs": {}, "message_id": message_id,
            "message_timestamp": 0, "options": {"redis_message_id": message_id},
        }  # fmt: skip
        with redis.Redis.from_url(self.env[plain.BROKER]) as client:
            client.hset("dramatiq:scan.msgs", message_id, json.dumps(message))
            client.rpush("dramatiq:scan", message_id)


class Taskiq(Peer):
    """A Redis stream, processes of asynchronous tasks."""

    library = "taskiq"
    settings = f"{PROCESSES} processes, 50 asynchronous tasks each, Redis stream, 10 pooled connections each"

    def start_workers(self, ground: Ground) -> None:
        options = (
            "--workers",
            str(PROCESSES),
            "--max-async-tasks",
            "50",
            "--ack-type",
            "when_executed",
            "--max-prefetch",
            "100",
            "--log-level",
            "WARNING",
        )
        run = ("-m", "taskiq", "worker", f"{PACKAGE}.taskiq_app:broker", *options)
        self.processes.append(ground.spawn(*run, env=self.env, ready=every("taskiq is ready")))

    def scan(self) -> None:
        asyncio.run(self._kick())

    async def _kick(self) -> None:
        broker = RedisStreamBroker(url=self.env[plain.BROKER])
        await broker.startup()
        await AsyncKicker[[], None](task_name="scan", broker=broker, labels={}).kiq()
        await broker.shutdown()


__all__ = ["Dramatiq", "Procrastinate", "Taskiq"]
