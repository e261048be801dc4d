"""Whether the workers of this machine take batches, asked through the broker: what a health check wants to know."""

import socket
from collections.abc import Sequence

from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from .app import app, use_broker

SECONDS = 5.0


def problems(broker_url: str, queues: Sequence[str]) -> list[str]:
    """What is wrong with this machine's workers; nothing when each takes one of these queues at least.

    Args:
        broker_url: where they get their jobs.
        queues: those of the installation.
    """
    use_broker(broker_url)
    host = socket.gethostname()
    try:
        asked = app.control.inspect(timeout=SECONDS, pattern=f"*@{host}", matcher="glob", limit=None)
        answers: dict[str, object] = asked.active_queues() or {}
    except (OSError, RedisError, KombuError) as error:
        return [f"worker: the broker does not answer ({type(error).__name__})"]
    finally:
        app.close()
    if not answers:
        return [f"worker: none of {host} answers within {SECONDS:g} s; is one running on this machine?"]
    return [
        f"worker: {name} takes no batches; start it again"
        for name, taken in answers.items()
        if not _names(taken) & set(queues)
    ]


def _names(taken: object) -> set[str]:
    if not isinstance(taken, list):
        return set()
    return {str(queue.get("name")) for queue in taken if isinstance(queue, dict)}
