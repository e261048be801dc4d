"""Waking the schedulers when work was added or a batch has ended.

The poll is the guarantee: a wake-up may be lost, and is never waited for.
"""

import logging
import time
from typing import TYPE_CHECKING

from . import jobs
from .broker import Broker, refusal

if TYPE_CHECKING:
    import redis

_SOCKET_SECONDS = 1.0
_REST_SECONDS = 30.0
"""How long a broker that did not answer is left alone, so that it costs one timeout and not one per task."""

_log = logging.getLogger("redrive")


class Waker:
    """Publishes wake-ups where the broker is Redis or Valkey; does nothing elsewhere."""

    def __init__(self, broker_url: str | None) -> None:
        self._server = Broker.at(broker_url).server if broker_url is not None else None
        self._client: redis.Redis | None = None
        self._rest_until = 0.0

    def wake(self) -> None:
        """Wake all schedulers that listen. It never raises, and is over within seconds."""
        if self._server is None or time.monotonic() < self._rest_until:
            return
        try:
            if self._client is None:
                self._client = self._server.client(_SOCKET_SECONDS)  # its pool serves threads and notices forks
            self._client.publish(jobs.WAKE_CHANNEL, "")
        except Exception as error:  # noqa: BLE001 - what was asked for is done; a wake-up is never worth an error
            # Only the kind of error: its words may hold the broker's address, and so its password.
            _log.debug("no wake-up sent: %s", refusal(error) or type(error).__name__)
            self._rest_until = time.monotonic() + _REST_SECONDS

    def close(self) -> None:
        """Drop the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
