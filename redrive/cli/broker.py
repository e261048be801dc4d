"""Whether a broker answers, within two seconds."""

import redis
from kombu.connection import Connection
from kombu.exceptions import KombuError
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.jobs import redis_url

SECONDS = 2.0


def answer(url: str) -> str:
    """'' when the broker answers; otherwise what it was that did not, without the address and its password."""
    ours = redis_url(url)
    try:
        if ours is not None:
            _ping(ours)
        else:
            _connect(url)
    except (redis.RedisError, OSError, KombuError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    except Exception as error:  # noqa: BLE001 - each transport raises its own; words might repeat the address
        return f"{type(error).__name__}; is the address right, and is its driver installed?"
    return ""


def _ping(url: str) -> None:
    retry = Retry(NoBackoff(), 0)
    with redis.Redis.from_url(url, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=retry) as client:
        client.ping()


def _connect(url: str) -> None:
    with Connection(url, connect_timeout=SECONDS) as connection:  # type: ignore[no-untyped-call]
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS)
