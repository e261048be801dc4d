"""How long the queues are, for Flower's page of the broker.

Asked through Celery, as everything else is: Flower's own code knows fewer addresses, and sends RabbitMQ's password to a
port for which nobody has asked.
"""

import asyncio
from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from celery import Celery
from flower.views import BaseHandler
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from tornado.web import HTTPError

if TYPE_CHECKING:
    from kombu.connection import Connection


class FlowerQueues:
    """What Flower calls a broker.

    Args:
        app: connects to it; what it asks for takes seconds and not for ever.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app

    async def queues(self, names: Iterable[str]) -> list[dict[str, object]]:
        """The queues of these names, and how many messages wait in each.

        Raises:
            HTTPError: the broker does not answer.
        """
        try:
            return await asyncio.to_thread(self._lengths, list(names))
        except (OSError, RedisError, KombuError) as error:
            words = f"the broker does not answer ({type(error).__name__})"
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, words) from None

    def _lengths(self, names: list[str]) -> list[dict[str, object]]:
        with self._app.connection_for_read() as connection:
            return [{"name": name, "messages": _length(connection, name)} for name in names]


def _length(connection: "Connection", name: str) -> int:
    """How many messages wait; none where there is no such queue, as before the first message in Redis."""
    try:
        with connection.channel() as channel:  # type: ignore[no-untyped-call]
            declared: Any = channel.queue_declare(name, passive=True)
    except connection.channel_errors:
        return 0
    return int(declared.message_count)


def show(queues: FlowerQueues | None, sent_to: Collection[str]) -> None:
    """Let Flower's page show these queues too, and ask for their lengths this way, unless None is given.

    Of itself it shows those that a worker takes: not the ones in trouble.
    """
    taken = BaseHandler.get_active_queue_names
    BaseHandler.get_active_queue_names = lambda handler: sorted({*taken(handler), *sent_to})
    if queues is not None:
        BaseHandler.get_broker = lambda _handler: queues
