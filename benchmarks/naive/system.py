"""The hand-written solutions as contestants."""

from collections.abc import Mapping

from celery import Celery

from benchmarks import plain
from benchmarks.ground import Ground
from benchmarks.naive import base, tables
from benchmarks.systems import PlainSystem

USUAL = (
    "acks_late, autoretry_for with backoff and jitter, one pooled httpx.Client and one psycopg connection per process, "
    "beat scanning every second"
)


class Naive(PlainSystem):
    """Celery, prefork, with so many processes, and a beat."""

    title = "hand-written Celery"
    app = "app"
    words = f"{USUAL} for up to 5,000 due rows"

    def __init__(self, processes: int, *, share: float = 1.0) -> None:
        super().__init__()
        self.name = f"{self.title}, {processes} processes"
        self.share = share
        self.settings = f"prefork, concurrency = {processes}, {self.words}"
        self._processes = processes

    def start_workers(self, ground: Ground) -> None:
        options = ("--pool=prefork", f"--concurrency={self._processes}", "--loglevel=WARNING", "-Ofair")
        quiet = ("--without-gossip", "--without-mingle")
        run, env = ("-m", "celery", "-A", f"{__package__}.{self.app}"), {**self.env, **self.more_env}
        self.processes.append(ground.spawn(*run, "worker", *options, *quiet, env=env, ready=base.READY))
        self._client = Celery(broker=self.env[plain.BROKER], set_as_current=False)
        self.processes.append(ground.spawn(*run, "beat", "--loglevel=WARNING", env=env))

    @property
    def more_env(self) -> Mapping[str, str]:
        """What its app wants to know besides."""
        return {}

    def scan(self) -> None:
        self._client.send_task("naive.scan", ignore_result=True)

    def close(self) -> None:
        super().close()
        self._client.close()


class NaiveBatched(Naive):
    """The same, a hundred tasks in a message."""

    title = "hand-written Celery, batched"
    app = "batched_app"
    schema = tables.BATCHED
    words = f"{USUAL}; 100 ids per message, call and transaction, attempts in a table, no record before the call"
