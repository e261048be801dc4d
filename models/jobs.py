"""The names that travel through the broker. Others' programs and dashboards depend on them."""

from collections.abc import Iterable

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
