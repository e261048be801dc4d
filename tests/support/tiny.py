"""A provider of a few lines: a real HTTP server whose answers are one function."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from redrive.models.clock import boottime


@dataclass(frozen=True)
class Asked:
    """One request as it arrived, and when."""

    path: str
    headers: Mapping[str, str]
    body: Any
    at: float


Answer = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]


@dataclass
class Tiny:
    """A real HTTP server whose answers are one function."""

    answer: Callable[[Asked], Answer]
    asked: list[Asked] = field(default_factory=list)
    url: str = ""

    def paths(self) -> list[str]:
        return [each.path for each in self.asked]


@contextmanager
def tiny(answer: Callable[[Asked], Answer]) -> Iterator[Tiny]:
    """Serve on loopback, a thread per connection."""
    told = Tiny(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked = Asked(self.path, self.headers, json.loads(raw) if raw else None, boottime())  # type: ignore[arg-type]
            told.asked.append(asked)
            status, body, *headers = told.answer(asked)
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **(headers[0] if headers else {})}.items():  # type: ignore[dict-item]
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - its base class's name

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
