"""Before Flower's pages: passwords are checked here, and few wrong ones a minute."""

import hmac
import logging
import time
from base64 import b64encode
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from flower.app import Flower
from tornado.httputil import HTTPMessageDelegate, HTTPServerRequest
from tornado.web import ErrorHandler

FREE = 10
"""Wrong passwords that an address may try at once."""

SECONDS = 60
"""After those it may try another one each time that so much has passed."""

MOST_ADDRESSES = 1000
"""Addresses that are counted each. All others count as one: an attacker with so many gains nothing by the next."""

_ALL_OTHERS = ""

_log = logging.getLogger("redrive.flower")


@dataclass(slots=True)
class _Visitor:
    """What an address has tried.

    Attributes:
        free_at: when nothing counts against it any more.
        wrong: what it has tried. The same again is not another try: an open page asks again and again.
    """

    free_at: float
    wrong: set[int] = field(default_factory=set)


class Door:
    """Decides who comes in.

    Args:
        pairs: each "user:password".
        clock: seconds that never go back.
    """

    def __init__(self, pairs: Collection[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._right = [f"Basic {b64encode(pair.encode()).decode()}".encode() for pair in pairs]
        self._clock = clock
        self._visitors: dict[str, _Visitor] = {}

    def answer(self, address: str, authorization: str) -> HTTPStatus:
        """OK, UNAUTHORIZED, or TOO_MANY_REQUESTS where a password is not even read."""
        visitor, tried = self._visitor(address), hash(authorization)
        if tried in visitor.wrong:
            return HTTPStatus.UNAUTHORIZED
        if self._waits(visitor):
            return HTTPStatus.TOO_MANY_REQUESTS
        if self._is_right(authorization):
            return HTTPStatus.OK
        visitor.free_at = max(visitor.free_at, self._clock()) + SECONDS
        if len(visitor.wrong) < FREE:
            visitor.wrong.add(tried)
        if self._waits(visitor):
            _log.warning("%s wrong passwords from %s: it may try one a minute", FREE, address)
        return HTTPStatus.UNAUTHORIZED

    def _waits(self, visitor: _Visitor) -> bool:
        return visitor.free_at - self._clock() > (FREE - 1) * SECONDS

    def _is_right(self, authorization: str) -> bool:
        given = authorization.encode(errors="surrogateescape")
        return True in [hmac.compare_digest(given, right) for right in self._right]

    def _visitor(self, address: str) -> _Visitor:
        now = self._clock()
        if address not in self._visitors and len(self._visitors) >= MOST_ADDRESSES:
            self._visitors = {name: each for name, each in self._visitors.items() if each.free_at > now}
            if len(self._visitors) >= MOST_ADDRESSES:
                address = _ALL_OTHERS
        return self._visitors.setdefault(address, _Visitor(now))


class GuardedFlower(Flower):  # type: ignore[misc]  # Flower ships no types
    """Flower, whose pages are reached through the door."""

    def __init__(self, door: Door, **options: Any) -> None:
        super().__init__(**options)
        self._door = door

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> HTTPMessageDelegate:
        """Refuse a wrong password; Flower itself asks for one where there is none."""
        given = request.headers.get("Authorization")
        status = HTTPStatus.OK if given is None else self._door.answer(str(request.remote_ip), given)
        if status is HTTPStatus.OK:
            return super().find_handler(request, **kwargs)  # type: ignore[no-any-return]
        return self.get_handler_delegate(request, DoorAnswer, {"status_code": status})  # type: ignore[no-any-return]


class DoorAnswer(ErrorHandler):
    """What a wrong password is answered."""

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say what to do."""
        if status_code == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
            self.finish("User or password is wrong.")
        else:
            self.set_header("Retry-After", str(SECONDS))
            self.finish(f"Too many wrong passwords. Try again in {SECONDS} s.")
