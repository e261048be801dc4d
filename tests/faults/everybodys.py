"""Faults that any server can have: each strikes one of the three providers in turn, or each of them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from email.utils import format_datetime
from typing import TypeVar

from tests.faults.provider import Reply, break_off, drip, drop, flood, hang, no_http, reset_in_body
from tests.faults.rows import DAY, PAGE, already, blocked, throttled, unknown
from tests.support.peer import http
from tests.support.world import START

ACCOUNTS = ("phones", "desktops", "reviews")
THOROUGH = bool(os.environ.get("REDRIVE_TEST_THOROUGH"))
"""Whether every fault strikes each of the three on both databases, instead of one of them on one in turn."""

T = TypeVar("T")


def some(faults: Sequence[T]) -> Sequence[T]:
    """All of them, or one of three that mean the same."""
    return faults if THOROUGH else faults[::3]


def everybodys(faults: Iterable[T]) -> Iterator[tuple[str, T]]:
    """Accounts and what strikes them."""
    for number, fault in enumerate(faults):
        for account in ACCOUNTS if THOROUGH else ACCOUNTS[number % 3 :][:1]:
            yield account, fault


def _date(seconds: float) -> tuple[str, str]:
    """An HTTP date so far from the server's own, which is years off."""
    own = START.replace(year=2031)
    until = format_datetime(own.fromtimestamp(own.timestamp() + seconds, own.tzinfo), usegmt=True)
    return f"Retry-After: {until}", f"Date: {format_datetime(own, usegmt=True)}"


RETRY_AFTER = (
    ("17 seconds", ("Retry-After: 17",), 17, "17 s (12:00:17 UTC)"),
    ("a date", _date(90), 90, "1 min 30 s (12:01:30 UTC)"),
    ("years", ("Retry-After: 315360000",), DAY, "1 d (2026-03-02 12:00:00 UTC)"),
    ("a date in years", _date(3000 * DAY), DAY, "1 d (2026-03-02 12:00:00 UTC)"),
    # None of these names a wait: ours is 5 s and grows.
    ("zero", ("Retry-After: 0",), 5, "5 s (12:00:05 UTC)"),
    ("negative", ("Retry-After: -20",), 5, "5 s (12:00:05 UTC)"),
    ("a date gone by", _date(-3600), 5, "5 s (12:00:05 UTC)"),
    ("nonsense", ("Retry-After: soon",), 5, "5 s (12:00:05 UTC)"),
    ("absent", (), 5, "5 s (12:00:05 UTC)"),
)
"""What the header says, and how long the path then waits: a day at most, after which the provider is asked again."""

TOO_MANY = [
    throttled(f"{account}: 429, Retry-After {name}", http(429, b"", *headers), seconds, at, "HTTP 429")
    for account, (name, headers, seconds, at) in everybodys(RETRY_AFTER)
]

UNAVAILABLE = [
    # Huawei documents its 503 as a throttling answer. Elsewhere it may hide a retry that was applied; the wait holds.
    *(
        throttled(f"desktops: 503, Retry-After {name}", http(503, b"", *headers), seconds, at, "HTTP 503")
        for name, headers, seconds, at in some(RETRY_AFTER)
    ),
    *(
        unknown(
            f"{account}: 503, Retry-After {name}",
            http(503, b"", *headers),
            path_waits=None if seconds == 5 else seconds,
        )
        for account, (name, headers, seconds, _) in zip(("phones", "reviews") * 5, RETRY_AFTER, strict=False)
    ),
]

INCOMPLETE: list[tuple[str, Reply, str]] = [
    ("dropped after it was read", drop, "no complete answer: the server closed the connection"),
    ("reset in the body", reset_in_body, "no complete answer"),
    ("body cut short", break_off, "no complete answer: the answer broke off"),
    ("body without end", flood, "no complete answer: answer larger than 1048576 bytes"),
    ("not HTTP", no_http, "no complete answer: the answer is not HTTP"),
    ("status 099", http("099 No"), "no complete answer"),
    ("empty", http(200, b""), "HTTP 200"),
    ("a page", http(200, PAGE), "It works!"),
    ("broken JSON", http(200, b'{"code": 0, "task_id": "9'), '{"code": 0, "task_id": "9'),
    ("not UTF-8", http(200, b"\xff\xfe\x00{"), "{"),
    ("a list", http(200, b"[0]"), "HTTP 200"),
    ("null", http(200, b"null"), "null"),
    ("no code", http(200, b"{}"), "HTTP 200"),
    ("nested without end", http(200, b"[" * 100_000), "HTTP 200"),
]

NO_ANSWER = [unknown(f"{account}: {name}", answer, words) for account, (name, answer, words) in everybodys(INCOMPLETE)]

SLOW = [
    unknown("phones: dripping past the timeout", drip, "no complete answer: timed out", timeout=1),
    unknown("desktops: no answer in time", hang, "no complete answer: timed out", timeout=1),
]

MOVED = [
    blocked(f"{account}: {status}", http(status, b"", "Location: /elsewhere"), "address", "check base_url: /elsewhere")
    for account, status in everybodys(some((301, 300, 303, 302, 304, 308, 307, 399)))
]

PROVES_NOTHING = (201, 202, 206, 299, 408, 423, 500, 501, 502, 504, 505, 599, 600, 777, 900, 999)
REFUSES = (400, 402, 403, 406, 409, 410, 413, 422, 451, 499)

STATUSES = [
    *(
        unknown(f"{account}: {n} with a page", http(n, PAGE), "It works!")
        for account, n in everybodys(some(PROVES_NOTHING))
    ),
    *(unknown(f"{account}: 204", b"HTTP/1.1 204 No\r\n\r\n", "HTTP 204") for account, _ in everybodys("-")),
    unknown("phones: 101", b"HTTP/1.1 101 No\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "HTTP 101"),
    *(already(f"{account}: {n} with a page", http(n, PAGE), "It works!") for account, n in everybodys(some(REFUSES))),
    *(
        blocked(f"{account}: {n} with a page", http(n, PAGE), "address", f"{n}: check base_url: <html>")
        for account, n in everybodys((404, 405))
    ),
    *(blocked(f"{account}: 401 with a page", http(401, PAGE), "credentials", '"HTTP 401: <') for account in ACCOUNTS),
]

EVERYBODYS = [*TOO_MANY, *UNAVAILABLE, *NO_ANSWER, *SLOW, *MOVED, *STATUSES]
