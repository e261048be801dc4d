"""The names that travel through the broker. Others' programs and dashboards depend on them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .broker import Broker

RETRY = "redrive.retry"
CHECK = "redrive.check"
REQUEST = "redrive.request"
REQUESTS_QUEUE = "redrive.requests"
WAKE_CHANNEL = "redrive.wake"
LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Queues:
    """The queues of one installation: others on the same broker neither see nor take its batches.

    Attributes:
        installation: its name, in the name of each of its queues.
        public: whether it takes what hosts send to ``redrive.requests``; otherwise they name the installation.
    """

    installation: str
    public: bool = True

    def of(self, provider: str) -> str:
        """The queue of a provider's batches."""
        return f"redrive.{self.installation}.{provider}"

    @property
    def requests(self) -> str:
        """The queue of hosts' wishes."""
        return REQUESTS_QUEUE if self.public else f"redrive.{self.installation}.requests"

    def taken(self, providers: Iterable[str]) -> list[str]:
        """All queues a worker for these providers takes."""
        return [*sorted({self.of(provider) for provider in providers}), self.requests]


def former_queues(providers: Iterable[str]) -> list[str]:
    """The queues of releases that did not name the installation. What lies there, nobody takes."""
    return [f"redrive.{provider}" for provider in sorted(set(providers))]


CELERY: Mapping[str, object] = {
    # JSON only: a pickle is a program from anyone who can write to the broker.
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
    # A broker that answers and refuses (read-only, full) is waited for like one that is away.
    "broker_channel_error_retry": True,
    "broker_connection_timeout": 5,
    # A frozen broker must cost seconds, not for ever: without socket_timeout a publish never returns.
    "broker_transport_options": {"socket_timeout": 10, "socket_connect_timeout": 5, "socket_keepalive": True},
    "task_publish_retry": False,
    "worker_disable_rate_limits": True,
    # Of jobs that are confirmed late, which ours are not. Not set, it is warned of at each lost connection.
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    # The same: a worker that was connected again would fetch one message at a time, for the batches it has under way.
    "worker_enable_prefetch_count_reduction": False,
    "enable_utc": True,
    "timezone": "UTC",
}
"""Celery's configuration, the same for those who send and those who work."""

APP: Mapping[str, Any] = {
    "set_as_current": False,
    # Named, since Celery would otherwise take them from CELERY_LOADER, CELERY_RESULT_BACKEND, DJANGO_SETTINGS_MODULE
    # and CELERY_CONFIG_MODULE: variables of a host's own Celery.
    "loader": "app",
    "backend": "disabled",
    "fixups": frozenset(),
    "config_source": CELERY,
}
"""What every Celery app of ours is made with."""


_OF_REDIS = ("socket_timeout", "socket_connect_timeout")
# RabbitMQ under an alarm of its own takes nothing more, and says so only to those that ask.
_OF_AMQP = ("read_timeout", "write_timeout")
"""What bounds an answer is called differently by each transport."""


class App(Protocol):
    """What is used here of a ``celery.Celery``, which this floor does not import."""

    conf: Any
    connection_for_read: Any
    connection_for_write: Any

    def _connection(self, url: str, **options: object) -> object: ...


def connect_to(app: App, find: Callable[[], Broker], *, seconds: float | None = None) -> None:
    """Let a Celery app connect to this broker and to no other, whatever ``CELERY_BROKER_URL`` says.

    Args:
        app: made with :data:`APP`.
        find: asked for the broker at each connection.
        seconds: what connecting and each answer may take, where that is not what :data:`CELERY` says.
    """

    def connection(_url: str | None = None, **given: object) -> object:
        broker = find()
        names = _OF_AMQP if broker.server is None else _OF_REDIS
        given["transport_options"] = {**({} if seconds is None else dict.fromkeys(names, seconds)), **broker.options}
        given["ssl"] = broker.tls
        if given.get("connect_timeout") is None:
            given["connect_timeout"] = seconds
        given.pop("url", None)
        return app._connection(broker.celery_url, **given)  # noqa: SLF001 - its public names ask the environment first

    app.connection_for_read = app.connection_for_write = connection
