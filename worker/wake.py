"""Waking the schedulers when a batch has ended. A wake-up that is lost costs one poll."""

import redis

from models import jobs

_SOCKET_SECONDS = 1.0


class Waker:
    """Publishes wake-ups where the broker is Redis or Valkey; does nothing elsewhere."""

    def __init__(self, broker_url: str | None) -> None:
        self._client = _client(broker_url) if broker_url else None

    def wake(self) -> None:
        """Wake all schedulers that listen; never raises and never waits for long."""
        if self._client is None:
            return
        try:
            self._client.publish(jobs.WAKE_CHANNEL, "")
        except (redis.RedisError, OSError):
            return

    def close(self) -> None:
        """Drop the connections."""
        if self._client is not None:
            self._client.close()


def _client(broker_url: str) -> redis.Redis | None:
    url = jobs.redis_url(broker_url)
    if url is None:
        return None
    return redis.Redis.from_url(url, socket_timeout=_SOCKET_SECONDS, socket_connect_timeout=_SOCKET_SECONDS)
