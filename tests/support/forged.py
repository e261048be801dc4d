"""Messages that nobody of ours sends: every way in which an envelope, its headers or its body can be wrong."""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from redrive.models import jobs

DEEP = 100_000


def body(*args: object, embed: object = None, **kwargs: object) -> str:
    """A call, as Celery writes it into an envelope."""
    return encoded([list(args), kwargs, embed if embed is not None else {}])


def encoded(call: object) -> str:
    return base64.b64encode(json.dumps(call).encode()).decode()


def envelope(task: object, content: object, queue: str, **more: Any) -> dict[str, Any]:
    """An envelope as kombu writes it; ``more`` replaces parts of it or of its headers."""
    headers = {"lang": "py", "task": task, "id": str(uuid4())} | more.pop("headers", {})
    return {
        "body": content,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": {
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": queue},
            "delivery_mode": 2,
            "delivery_tag": str(uuid4()),
            "priority": 0,
        },
    } | more


def raw() -> Iterator[bytes]:
    """What is not an envelope."""
    yield from (b"x", b"", b"null", b"true", b"5", b"[]", b"{}", b'"text"', b"\xff\xfe", b"\x00", b"[" * DEEP)
    yield from (b'{"a":' * DEEP, b"1" * 5000, b"NaN", b'{"body": "', b"x" * 2_000_000)
    yield b'{"__type__": "decimal", "__value__": "x"}'


def envelopes(queue: str) -> Iterator[dict[str, Any]]:
    """Envelopes with one thing wrong in them, for each of our jobs."""
    good = {jobs.RETRY: body(str(uuid4())), jobs.REQUEST: body([99_999])}
    for task, content in good.items():
        whole = envelope(task, content, queue)
        for name in whole:
            yield {key: value for key, value in whole.items() if key != name}
            yield from (whole | {name: strange} for strange in (None, 5, "x", [], {}, [[]], True))
        for strange in ("base65", 5, [], {}, "zlib", "BASE64"):
            yield whole | {"properties": whole["properties"] | {"body_encoding": strange}}
        yield whole | {"properties": whole["properties"] | {"delivery_info": {}}}
        yield whole | {"properties": whole["properties"] | {"delivery_info": {"exchange": [], "routing_key": {}}}}
        yield whole | {"properties": {k: v for k, v in whole["properties"].items() if k != "delivery_info"}}
        yield from (envelope(task, content, queue, headers=headers) for headers in strange_headers())
        for type_ in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack", "text/plain"):
            yield envelope(task, content, queue, **{"content-type": type_})
        bomb = base64.b64encode(zlib.compress(b"[" + b" " * 20_000_000 + b"]")).decode()
        for kind in ("application/x-gzip", "gzip", "zlib", "application/x-bz2", "bzip2", "br", [], {}, 5):
            yield envelope(task, bomb, queue, headers={"compression": kind})
    yield from (envelope(jobs.RETRY, content, queue) for content in strange_bodies())
    yield from (envelope(jobs.REQUEST, content, queue) for content in strange_bodies())
    for name in ("celery.chord_unlock", "celery.chain", "celery.group", "celery.map", "celery.starmap", "x", "", 5, []):
        yield envelope(name, body(), queue)


def strange_headers() -> Iterator[Mapping[str, Any]]:
    yield from (
        {"id": strange} for strange in (None, 5, [], {}, "", "x" * 5000, "a\n2026-01-01 [info] forged", "\x1b[2J")
    )
    yield from ({"eta": strange} for strange in ("9998-01-01T00:00:00Z", "x", 5, []))
    yield from ({"expires": strange} for strange in ("2000-01-01T00:00:00Z", "x", 5, []))
    yield {"task": None}


def strange_bodies() -> Iterator[str]:
    yield from map(encoded, (None, 5, "x", [], [[]], [[], {}], [5, {}, {}], [[], [], {}], [[], {}, []], {"args": []}))
    yield from map(
        encoded, ([["not a batch"], {}, {}], [[str(uuid4()), 2], {}, {}], [[{}], {"x": 1}, {}], [[2**70], {}, {}])
    )
    for name in ("callbacks", "errbacks", "chain", "chord"):
        yield body(str(uuid4()), embed={name: [{"task": jobs.RETRY, "args": [], "kwargs": {}}]})
    yield from ("", "?", "====", base64.b64encode(b"\xff\xfe").decode(), base64.b64encode(b"[" * DEEP).decode())
    yield base64.b64encode(b"[[" + b"1" * 6000 + b"],{},{}]").decode()
    yield from (body([number]) for number in (True, -1, 0, 2**70, "1", None, 1.5, [1]))
    yield from (body([99_999], who=who) for who in (5, [], {}, True))
    yield body(list(range(1, 20_000)))
    yield body([99_999], reason="x" * 2_000_000)
    yield body([99_999], nobody="knows")


def control() -> Iterator[object]:
    """Control commands that must change nothing, and what is none."""
    orders = (
        "shutdown", "revoke", "revoke_by_stamped_headers", "terminate", "rate_limit", "time_limit", "cancel_consumer",
        "add_consumer", "pool_grow", "pool_shrink", "pool_restart", "autoscale", "disable_events", "election",
    )  # fmt: skip
    arguments = {"queue": "redrive.requests", "task_id": str(uuid4()), "task_name": jobs.RETRY, "rate_limit": "1/h"}
    for method in (*orders, "nothing", "", "__init__"):
        yield {"method": method, "arguments": arguments, "reply_to": None}
        yield {"method": method, "arguments": {}, "reply_to": {"exchange": "nobody", "routing_key": "x"}, "ticket": []}
    yield from (
        None,
        5,
        "x",
        [],
        {},
        {"method": []},
        {"method": "ping", "destination": 5},
        {"method": "ping", "pattern": []},
    )
    yield {"method": "ping", "pattern": "(a+)+$", "matcher": "pcre"}
    yield {"method": "ping", "arguments": {"x": 1}, "reply_to": {"exchange": 5, "routing_key": []}}
    yield {"method": "active", "arguments": [5], "ticket": {}}
