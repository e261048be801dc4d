"""The connection to the broker, where kombu trusts what comes over it, or does not outlive what may pass."""

import base64
import json
from typing import Any
from uuid import uuid4

from kombu import compression
from kombu.transport import redis
from kombu.transport.virtual.base import Message
from redis.exceptions import ResponseError

from . import drops

_UNREADABLE = "application/x-redrive-unreadable"
"""The content type that an unreadable message gets, which nobody accepts."""

MOST_BYTES = 1024 * 1024
"""Of an envelope as it lies in Redis, its body in it."""


_PARTS_OF_A_BINDING = 3


class Envelope(Message):
    """A message whose envelope may be anything: an unreadable one is empty, and is dropped as such further on."""

    def __init__(self, payload: object, channel: object = None, **kwargs: object) -> None:
        super().__init__(_whole(payload), channel=channel, **kwargs)


class QoS(redis.QoS):
    """What was taken and not confirmed yet, kept in Redis, where others can write too."""

    def restore_by_tag(self, tag: object, client: object = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Give a message back to its queue, unless it is not one."""
        try:
            super().restore_by_tag(tag, client=client, leftmost=leftmost)
        except (TypeError, ValueError, AttributeError, LookupError, RecursionError):
            drops.note("unconfirmed message", "cannot be read")
            self._remove_from_indices(tag).execute()


class Channel(redis.Channel):
    """A channel that reads whatever lies in its queues, and that can be closed after its connection is gone.

    Celery closes a lost connection twice. The first time fails where the broker refuses to be asked for the rest of an
    answer; the second time there is no address left to give unconfirmed messages back to, and kombu (5.7) raises an
    ``AttributeError`` that ends the worker. They are published again anyway.
    """

    Message = Envelope
    QoS = QoS

    def get_table(self, exchange: str) -> list[tuple[str, ...]]:
        """Where an exchange's messages go: routing key, pattern, queue. What is not such a line is left out."""
        with self.conn_or_acquire() as client:
            found = client.smembers(self.keyprefix_queue % exchange)
        lines = (bytes(line).decode(errors="replace").split(self.sep) for line in found)
        return [tuple(line) for line in lines if len(line) == _PARTS_OF_A_BINDING]

    def close(self) -> None:
        """Close the channel, and give messages back if there is still somebody to give them to."""
        if self.connection is None or self.connection.client is None:
            self.do_restore = False
        super().close()


class SentinelChannel(Channel, redis.SentinelChannel):
    """The same where sentinels know the server."""


def install() -> None:
    """Use it for all connections of this process, and decompress nothing."""
    redis.Transport.Channel = Channel
    redis.SentinelTransport.Channel = SentinelChannel
    # A server that answers and refuses (read-only, out of memory, no permission) is waited for like one that is away.
    if ResponseError not in redis.Transport.connection_errors:
        redis.Transport.connection_errors = (*redis.Transport.connection_errors, ResponseError)
    redis.loads = _loads  # type: ignore[attr-defined,assignment]  # the one place through which all it reads passes
    for content_type in compression.encoders():
        compression.register(_no_compression, _no_compression, content_type)


def _loads(text: str | bytes) -> object:
    """An envelope's JSON, plain: kombu's own reader makes objects of it, and raises what nobody expects."""
    try:
        return json.loads(text) if len(text) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        return None


def _no_compression(_body: object) -> bytes:
    raise ValueError("compressed messages are not taken")


def _whole(payload: object) -> dict[str, Any]:
    """The envelope with all that kombu looks for in it, or an empty one in its place.

    Its tag is made anew: the sender chose the other one, perhaps twice.
    """
    match payload:
        case {
            "properties": {"delivery_info": {"exchange": str(exchange), "routing_key": str(key)}} as properties,
            "body": str(body),
            "headers": dict() as headers,
            "content-type": str(content_type),
            "content-encoding": str(encoding),
        } if not headers.get("compression") and _decodes(body, properties.get("body_encoding")):
            kept = {"body_encoding": properties.get("body_encoding")}
        case _:
            drops.note("message", "has an envelope that cannot be read")
            return _envelope("", {}, {"exchange": "", "routing_key": ""}, {}, _UNREADABLE, "binary")
    where = {"exchange": exchange, "routing_key": key}
    return _envelope(body, headers, where, kept, content_type, encoding)


def _decodes(body: str, encoding: object) -> bool:
    try:
        if encoding == "base64":
            base64.b64decode(body)
    except ValueError:
        return False
    return encoding is None or encoding in ("utf-8", "base64")


def _envelope(
    body: str,
    headers: dict[str, Any],
    delivery_info: dict[str, str],
    properties: dict[str, Any],
    content_type: object,
    encoding: object,
) -> dict[str, Any]:
    return {
        "body": body,
        "headers": headers,
        "content-type": content_type,
        "content-encoding": encoding,
        "properties": {**properties, "delivery_info": delivery_info, "delivery_tag": str(uuid4())},
    }
