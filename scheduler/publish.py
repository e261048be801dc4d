"""Putting batches on the broker. A message is an id; who loses one loses seconds."""

import structlog
from celery import Celery

from redrive.models import jobs
from redrive.models.broker import Broker, refusal
from redrive.models.clock import boottime
from redrive.models.ledger import Batch
from redrive.models.states import Operation

log = structlog.get_logger("redrive.scheduler")

SILENCE_SECONDS = 5.0
"""After a failed publish nothing is published for so long: a frozen broker must not stop the claims."""


PUBLISH_SECONDS = 3.0
"""The longest a frozen broker may keep a claim from the next; a worker's socket waits longer, for its own reasons."""


class Publisher:
    """Sends jobs over one Celery app. Connects at the first message."""

    def __init__(self, broker_url: str, queues: jobs.Queues) -> None:
        broker = Broker.at(broker_url)
        self._app = Celery("redrive", **jobs.APP)
        jobs.connect_to(self._app, lambda: broker, seconds=PUBLISH_SECONDS)
        self._queues = queues
        self._silent_until = 0.0

    @property
    def silent(self) -> bool:
        """Whether nothing is published at the moment."""
        return boottime() < self._silent_until

    def send(self, batch: Batch) -> bool:
        """Publish a batch; False when the broker did not take it, in which case the batch is published again later."""
        if self.silent:
            return False
        try:
            self._app.send_task(
                jobs.RETRY if batch.operation is Operation.RETRY else jobs.CHECK,
                args=[str(batch.id)],
                # For people's eyes in Flower; the worker trusts only the row.
                kwargs={"account": batch.account, "size": batch.size, "operation": batch.operation.value},
                task_id=str(batch.id),
                queue=self._queues.of(batch.provider),
                ignore_result=True,
            )
        except Exception as error:  # noqa: BLE001 - kombu lets every transport's own errors through
            self._silent_until = boottime() + SILENCE_SECONDS
            why = {"refused": words} if (words := refusal(error)) else {}
            log.warning("publish.failed", batch=str(batch.id), account=batch.account, error=type(error).__name__, **why)
            return False
        return True

    def close(self) -> None:
        """Drop the connections."""
        self._app.close()
