"""A worker outlives its broker, also when it dies at the worst of moments."""

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from kombu import Consumer, Queue

import redrive.worker.app
from redrive.models import jobs
from tests.support.servers import Valkey


@pytest.fixture
def app(valkey: Valkey) -> Iterator[Celery]:
    """Configured as the worker's, whose module prepares the connections of its process."""
    app = Celery(redrive.worker.app.app.main, broker=valkey.url, set_as_current=False)
    app.conf.update(jobs.CELERY)
    yield app
    app.close()


def test_a_connection_lost_with_an_unconfirmed_message_is_closed_twice(app: Celery, valkey: Valkey) -> None:
    """As Celery does: once to save what can be saved, once for good."""
    taken: list[Any] = []
    connection = app.connection_for_read()
    put(app, "lost")
    for channel, queue in ((connection.default_channel, "lost"), (connection.channel(), "other")):
        Consumer(channel, [Queue(queue)], on_message=taken.append).consume()
    connection.drain_events(timeout=5)
    assert len(taken) == 1  # and not confirmed
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)  # both go on waiting for the next one
    valkey.kill()
    connection.collect(socket_timeout=1)
    connection.close()


def test_messages_are_given_back_by_a_connection_that_stands(app: Celery) -> None:
    put(app, "kept")
    for _ in range(2):
        with app.connection_for_read() as connection:
            assert Queue("kept").bind(connection.default_channel).get() is not None


def put(app: Celery, queue: str) -> None:
    with app.connection_for_write() as connection:
        Queue(queue).bind(connection.default_channel).declare()
        app.amqp.Producer(connection).publish("job", routing_key=queue, serializer="json")
