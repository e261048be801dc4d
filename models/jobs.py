"""The names that travel through the broker. Others' programs and dashboards depend on them."""

from collections.abc import Iterable, Mapping

RETRY = "redrive.retry"
CHECK = "redrive.check"
REQUEST = "redrive.request"
REQUESTS_QUEUE = "redrive.requests"
WAKE_CHANNEL = "redrive.wake"


def queue(provider: str) -> str:
    """The queue of a provider's batches."""
    return f"redrive.{provider}"


def queues(providers: Iterable[str]) -> list[str]:
    """All queues a worker for these providers takes."""
    return [*sorted({queue(provider) for provider in providers}), REQUESTS_QUEUE]


_REDIS_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "redis+socket": "unix",
}


def redis_url(broker_url: str) -> str | None:
    """A broker's URL as redis-py understands it, for wake-ups; None where the broker is not Redis or Valkey."""
    scheme, separator, rest = broker_url.partition("://")
    known = _REDIS_SCHEMES.get(scheme)
    return f"{known}{separator}{rest}" if known else None


CELERY: Mapping[str, object] = {
    # JSON only: a pickle is a program from whoever can write to the broker.
    "task_serializer": "json",
    "result_serializer": "json",
    "event_serializer": "json",
    "accept_content": ["json"],
    "task_ignore_result": True,
    "task_create_missing_queues": True,
    "task_default_queue": REQUESTS_QUEUE,
    # For Flower: what was sent, what was taken, what came of it.
    "task_send_sent_event": True,
    "worker_send_task_events": True,
    # A job is confirmed when taken: what comes of it is in the database, and a lost one is published again.
    "task_acks_late": False,
    "worker_prefetch_multiplier": 1,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 5,
    # A frozen broker must cost seconds, not for ever: without socket_timeout a publish never returns.
    "broker_transport_options": {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True},
    "task_publish_retry": False,
    "enable_utc": True,
    "timezone": "UTC",
}
"""Celery's configuration, the same for whoever sends and whoever works."""
