"""The hand-written solution as a contestant."""

from celery import Celery

from .. import plain
from ..ground import Ground
from ..systems import PlainSystem

APP = "benchmarks.naive.app"


class Naive(PlainSystem):
    """Celery, prefork, with so many processes, and a beat."""

    def __init__(self, processes: int, *, share: float = 1.0) -> None:
        super().__init__()
        self.name = f"hand-written Celery, {processes} processes"
        self.share = share
        self.settings = (
            f"prefork, concurrency = {processes}, acks_late, autoretry_for with backoff and jitter, one pooled "
            "httpx.Client and one psycopg connection per process, beat scanning every second for up to 5,000 due rows"
        )
        self._processes = processes

    def start_workers(self, ground: Ground) -> None:
        options = ("--pool=prefork", f"--concurrency={self._processes}", "--loglevel=WARNING", "-Ofair")
        quiet = ("--without-gossip", "--without-mingle")
        worker = ground.spawn(
            "-m", "celery", "-A", APP, "worker", *options, *quiet, env=self.env, ready="naive is ready"
        )
        self.processes.append(worker)
        self._client = Celery(broker=self.env[plain.BROKER], set_as_current=False)
        self.processes.append(ground.spawn("-m", "celery", "-A", APP, "beat", "--loglevel=WARNING", env=self.env))

    def scan(self) -> None:
        self._client.send_task("naive.scan", ignore_result=True)

    def close(self) -> None:
        super().close()
        self._client.close()
