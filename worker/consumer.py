"""How a worker takes messages: only those that are understood, and again and again where the broker refuses."""

import json
import logging
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker import consumer, state
from celery.worker.control import Panel
from kombu import pidbox

from redrive.models.broker import refusal
from redrive.models.errors import BadInput

from . import drops, messages

log = structlog.get_logger("redrive.worker")

BACKOFF_SECONDS = (1, 2, 4, 8, 16, 30)
CALM_SECONDS = 60.0
"""A connection that stood so long has been a good one: the next outage is a new one."""
_GLANCE_SECONDS = 0.25
"""How often a waiting worker asks whether it must end."""


class Consumer(consumer.Consumer):
    """Celery's consumer behind a door that lets nothing through but jobs of ours."""

    _outages = 0
    _failed_at = float("-inf")

    def create_task_handler(self, **options: object) -> Callable[[Any], None]:
        """What is called with each message."""
        handle = super().create_task_handler(**options)

        def receive(message: Any) -> None:  # noqa: ANN401 - kombu ships no types
            try:
                job = messages.read(message.headers, message.content_type, message.content_encoding, message.body)
            except BadInput as error:
                self._drop(message, str(error))
            else:
                handle(_rebuilt(message, job))

        return receive

    def on_decode_error(self, message: Any, exc: Exception) -> None:  # noqa: ARG002, ANN401 - Celery's signature
        """Drop what kombu could not even open."""
        self._drop(message, "cannot be decoded")

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """The broker answers and refuses: say it, and wait ever longer before the next try."""
        self._rest(exc)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Say it, close what is left of the connection, and wait ever longer before the next one."""
        super().on_connection_error_after_connected(exc)
        self._rest(exc)

    def _rest(self, exc: Exception) -> None:
        now = time.monotonic()
        self._outages = self._outages + 1 if now - self._failed_at < CALM_SECONDS else 1
        seconds = BACKOFF_SECONDS[min(self._outages, len(BACKOFF_SECONDS)) - 1]
        say = log.error if self._outages == 1 else log.warning if self._outages <= len(BACKOFF_SECONDS) else log.info
        say("broker.lost", error=type(exc).__name__, refused=refusal(exc), tries_again_seconds=seconds)
        while time.monotonic() < now + seconds:
            state.maybe_shutdown()
            time.sleep(_GLANCE_SECONDS)
        self._failed_at = time.monotonic()

    def _drop(self, message: Any, why: str) -> None:  # noqa: ANN401 - kombu ships no types
        drops.note("message", why)
        message.ack_log_error(logging.getLogger(__name__), self.connection_errors)


def _rebuilt(message: Any, job: messages.Message) -> Any:  # noqa: ANN401 - kombu ships no types
    """The message with nothing in it but what was understood."""
    message.headers = {
        "lang": "py",
        "task": job.task,
        "id": job.id,
        "root_id": job.id,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": repr(job.args)[:_LONGEST_SHOWN],
        "kwargsrepr": repr(job.kwargs)[:_LONGEST_SHOWN],
        "origin": "",
        "ignore_result": True,
    }
    kept = ("body_encoding", "delivery_info", "delivery_tag")
    message.properties = {name: message.properties[name] for name in kept if name in message.properties}
    message.body = json.dumps([job.args, job.kwargs, {}]).encode()
    return message


_LONGEST_SHOWN = 1000

OFFERED = frozenset((
    "ping", "stats", "active", "active_queues", "registered", "reserved", "scheduled", "revoked", "conf",
    "enable_events",
))  # fmt: skip
"""What Flower and ``celery inspect`` ask. Nothing of it changes anything."""


class Node(pidbox.Node):
    """A worker's ear for control commands. It answers questions, and takes no orders.

    An order from the broker could stop a worker, or keep it from its queues without anybody noticing.
    """

    def handle_message(self, body: object, message: object = None) -> None:  # noqa: ARG002 - kombu's signature
        """Answer a question that is meant for us."""
        if not isinstance(body, dict) or not isinstance(body.get("method"), str):
            drops.note("control command", "cannot be read")
        elif _is_meant_for(str(self.hostname), body):
            self._answer(body["method"], _address(body.get("reply_to")), body.get("ticket"))

    def _answer(self, method: str, reply_to: dict[str, str] | None, ticket: object) -> None:
        if method in OFFERED:
            self.dispatch(method, {}, reply_to, ticket)
            return
        drops.note("control command", "is not offered")
        if reply_to is not None:
            self.reply({self.hostname: {"error": "Redrive's workers do not offer this"}}, **reply_to, ticket=ticket)


def _is_meant_for(hostname: str, body: dict[str, Any]) -> bool:
    match body.get("destination"), body.get("pattern"):
        case (list() as names, _) if names:
            return hostname in names
        case None | [], None | "":
            return True
        case None | [], str(pattern):
            # A regular expression could keep us busy for ever; this much of a pattern cannot.
            start, star, end = pattern.partition("*")
            return hostname.startswith(start) and hostname.endswith(end) if star else hostname == pattern
    return False


def _address(reply_to: object) -> dict[str, str] | None:
    match reply_to:
        case {"exchange": str(exchange), "routing_key": str(routing_key)}:
            return {"exchange": exchange, "routing_key": routing_key}
    return None


def restrict_control(app: Any) -> None:  # noqa: ANN401 - Celery ships no types
    """Let the workers of an app answer questions only."""
    app.control.mailbox.node_cls = Node
    for name in set(Panel.data) - OFFERED:
        del Panel.data[name]
