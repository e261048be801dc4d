"""Whether a broker does what the service needs of it: tried by the very code that the service uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import KombuError
from kombu.messaging import Consumer
from redis.exceptions import RedisError

from redrive.models import jobs
from redrive.models.broker import Broker, refusal
from redrive.worker import broker as worker

SECONDS = 2.0
EVICTING = "maxmemory-policy"

_REMEDIES = {
    "READONLY": "it is a replica, or was made one by a failover; name the server that takes writes",
    "OOM": "its memory is full; give it more, or find out what fills it",
    "NOPERM": "its user may not do what Redrive needs; docs/deployment.md lists the commands",
    "CROSSSLOT": "a cluster cannot be the broker; use a single server, or Sentinel",
    "MOVED": "a cluster cannot be the broker; use a single server, or Sentinel",
    "WRONGPASS": "user and password are not accepted",
    "NOAUTH": "it wants a password",
}


def answer(url: str) -> str:
    """'' when jobs and wake-ups pass; otherwise what does not, without the address and its password."""
    broker = Broker.at(url)
    for what, attempt in (("take a job", _carry), ("take a wake-up", _listen)):
        try:
            attempt(broker)
        except Exception as error:  # noqa: BLE001 - each transport raises its own
            # Of a server that is not there no job is worth a word.
            away = isinstance(error, RedisError | OSError | KombuError) and not refusal(error)
            return f"does not {'answer' if away else what}: {_words(error)}"
    return ""


def warnings(url: str) -> Iterator[str]:
    """What works now and will not always."""
    server = Broker.at(url).server
    if server is None:
        return
    try:
        with server.client(SECONDS) as client:
            memory: dict[str, object] = client.info("memory")
    except (RedisError, OSError):
        return  # a user who may not ask is not a reason to worry
    policy = str(memory.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield f"drops what it has no room for ({EVICTING} {policy}), and nobody notices; set it to noeviction"


def leftovers(url: str, names: list[str]) -> Iterator[tuple[str, int]]:
    """Queues of these names in which something lies, and how much."""
    server = Broker.at(url).server
    if server is None:
        return
    try:
        with server.client(SECONDS) as client:
            for name in names:
                if client.type(name) == b"list" and (length := client.llen(name)):
                    yield name, int(length)
    except (RedisError, OSError):
        return


def _words(error: Exception) -> str:
    """What it was: the server's refusal, else the words of the library, which hold no address."""
    if found := refusal(error):
        return f"{found}; {_REMEDIES.get(found, 'the server refuses')}"
    if isinstance(error, RedisError | OSError | KombuError):
        return " ".join(str(error).split()) or type(error).__name__
    return f"{type(error).__name__}; is the address right, and is its driver installed?"


def _carry(broker: Broker) -> None:
    """Publish a message to a queue of its own, take it, confirm it: as schedulers and workers do."""
    with _app(broker) as app, app.connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=SECONDS)
        name = f"redrive.doctor.{uuid4().hex[:12]}"
        queue = Queue(name, routing_key=name, durable=False, auto_delete=True, expires=60)
        queue(connection.default_channel).declare()
        try:
            app.amqp.Producer(connection).publish({}, routing_key=name, serializer="json")
            taken = Consumer(connection.channel(), [queue], on_message=lambda message: message.ack())
            taken.consume()
            connection.drain_events(timeout=SECONDS)
            taken.cancel()
        finally:
            queue(connection.default_channel).delete()


def _listen(broker: Broker) -> None:
    """Subscribe to the channel of wake-ups. None is sent: that would wake schedulers."""
    if broker.server is not None:
        with broker.server.client(SECONDS) as client, client.pubsub() as pubsub:
            pubsub.subscribe(jobs.WAKE_CHANNEL)
            pubsub.get_message(timeout=SECONDS)


@contextmanager
def _app(broker: Broker) -> Iterator[Celery]:
    worker.install()  # workers connect so
    app = Celery("redrive", **jobs.APP)
    jobs.connect_to(app, lambda: broker, seconds=SECONDS)
    try:
        yield app
    finally:
        app.close()
