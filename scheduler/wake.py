"""Waiting for the next pass: a wake-up through Redis or Valkey cuts it short, the poll is the guarantee."""

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import redis
import structlog

from redrive.models import jobs
from redrive.models.broker import Broker, refusal
from redrive.models.clock import boottime

log = structlog.get_logger("redrive.scheduler")

_GLANCE_SECONDS = 0.25
"""How often a waiting scheduler asks whether it must stop."""
_AGAIN_SECONDS = 2.0
"""How often it tries to listen again to a broker that went away."""
_SOCKET_SECONDS = 1.0
"""What connecting and each answer may take: a frozen broker must not keep a scheduler from stopping."""


_MOST_AT_ONCE = 1000
"""Wake-ups that are read for one pass. A sender of more is not listened to for a while: the poll goes on."""


class Wait:
    """Waits for a wake-up, a stop or the time, whichever comes first."""

    def __init__(self, broker_url: str, stop: threading.Event) -> None:
        self._server = Broker.at(broker_url).server
        self._stop = stop
        self._client: redis.Redis | None = None
        self._pubsub: redis.client.PubSub | None = None
        self._listen_at = 0.0

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def wait(self, seconds: float) -> None:
        """Return when the time is over, somebody woke us, or we must stop."""
        until = boottime() + seconds
        while not self._stop.is_set() and (left := until - boottime()) > 0:
            if self._listens_again() or self._woken(min(left, _GLANCE_SECONDS)):
                return

    def _woken(self, seconds: float) -> bool:
        if self._pubsub is None:
            self._stop.wait(seconds)
            return False
        try:
            if self._pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds) is None:
                return False
            # Many enqueued at once: one pass serves them all.
            for _ in range(_MOST_AT_ONCE):
                if self._pubsub.get_message(ignore_subscribe_messages=True, timeout=0) is None:
                    return True
        except Exception as error:  # noqa: BLE001 - the poll goes on whatever the channel brings
            log.debug("wake.lost", error=refusal(error) or type(error).__name__)
            self._forget()
            return False
        log.warning("wake.flood", messages=_MOST_AT_ONCE, listens_again_seconds=_AGAIN_SECONDS)
        self._listen_at = boottime() + _AGAIN_SECONDS
        self._forget()
        return True

    def _listens_again(self) -> bool:
        """Whether a broker that was away delivers again: wake-ups may have been missed, so that counts as one."""
        if self._pubsub is not None or boottime() < self._listen_at:
            return False
        self._listen()
        return self._pubsub is not None

    def _listen(self) -> None:
        self._listen_at = boottime() + _AGAIN_SECONDS
        if self._server is None:
            return
        try:
            self._client = self._server.client(_SOCKET_SECONDS)
            self._pubsub = self._client.pubsub()  # type: ignore[no-untyped-call]
            self._pubsub.subscribe(jobs.WAKE_CHANNEL)
        except Exception as error:  # noqa: BLE001 - without wake-ups the poll does the work
            log.debug("wake.unavailable", error=refusal(error) or type(error).__name__)
            self._forget()

    def _forget(self) -> None:
        for each in (self._pubsub, self._client):
            if each is not None:
                with suppress(redis.RedisError, OSError):
                    each.close()
        self._pubsub = self._client = None
