"""Waking the schedulers when work was added or a batch has ended.

The poll is the guarantee: a wake-up may be lost, and is never waited for.
"""

import logging
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from . import jobs

_SOCKET_SECONDS = 1.0
_REST_SECONDS = 30.0
"""How long a broker that did not answer is left alone, so that it costs one timeout and not one per task."""

_log = logging.getLogger("redrive")


class Waker:
    """Publishes wake-ups where the broker is Redis or Valkey; does nothing elsewhere."""

    def __init__(self, broker_url: str | None) -> None:
        self._url = jobs.redis_url(broker_url) if broker_url is not None else None
        self._client: redis.Redis | None = None
        self._rest_until = 0.0

    def wake(self) -> None:
        """Wake all schedulers that listen. It never raises, and is over within seconds."""
        if self._url is None or time.monotonic() < self._rest_until:
            return
        try:
            self._connected(self._url).publish(jobs.WAKE_CHANNEL, "")
        except (redis.RedisError, OSError, ValueError) as error:
            # Only the kind of error: its words may hold the broker's address, and so its password.
            _log.debug("no wake-up sent: %s", type(error).__name__)
            self._rest_until = time.monotonic() + _REST_SECONDS

    def close(self) -> None:
        """Drop the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self, url: str) -> redis.Redis:
        if self._client is None:
            # redis-py's pool serves threads and notices forks; its own retries would multiply the timeout.
            self._client = redis.Redis.from_url(
                url,
                socket_timeout=_SOCKET_SECONDS,
                socket_connect_timeout=_SOCKET_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        return self._client
