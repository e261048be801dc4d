"""A TCP proxy before PostgreSQL that cuts a connection at the worst moment: when a COMMIT is on its way."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The whole message, as psycopg sends it, alone."""

PARSE = re.compile(rb"P....(_pg3_[0-9]+)\x00([^\x00]*)\x00", re.DOTALL)
BIND = re.compile(rb"B....\x00(_pg3_[0-9]+)\x00", re.DOTALL)
"""psycopg prepares what it says often, and from then on says its name only."""

Fate = Literal["lost", "done"]
"""What becomes of the COMMIT: it never arrives, or it is carried out and its answer never arrives."""


@dataclass
class Cut:
    """One cut: of the first transaction that holds these words.

    Attributes:
        words: a pattern for a statement that only the wanted transaction makes.
        happened: set once the connection is closed.
    """

    words: re.Pattern[bytes]
    fate: Fate
    happened: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """Listens on a port of the loopback address for the PostgreSQL that listens on a Unix socket."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self._cuts: list[Cut] = []
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [_started(self._accept)]

    def close(self) -> None:
        """Cut everything."""
        _shut(self._listener)  # closing it would leave its thread in accept()
        self._threads[0].join()
        with self._lock:
            for end in self._ends:
                _shut(end)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def cut(self, words: str, fate: Fate) -> Cut:
        """Cut the next transaction whose SQL matches."""
        cut = Cut(re.compile(words.encode(), re.DOTALL), fate)
        with self._lock:
            self._cuts.append(cut)
        return cut

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(_started(partial(self._serve, client)))

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            try:
                server.connect(str(self._server))
            except OSError:
                return
            with self._lock:
                self._ends |= {client, server}
            answers = _started(partial(_pump, server, client))
            self._forward(client, server)
            answers.join()
            with self._lock:
                self._ends -= {client, server}

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        """From the client to the server, until one of them leaves or a transaction is to be cut."""
        said = b""
        prepared: dict[bytes, bytes] = {}
        while data := _received(client):
            said += data
            if said.endswith(COMMIT):
                prepared.update(PARSE.findall(said))
                named = (prepared.get(name, b"") for name in BIND.findall(said))
                if (cut := self._taken(b"\n".join([said, *named]))) is not None:
                    _cut(cut, client, server, data)
                    return
                said = b""
            if not _sent(server, data):
                break
        _shut(server)

    def _taken(self, said: bytes) -> Cut | None:
        with self._lock:
            cut = next((cut for cut in self._cuts if cut.words.search(said)), None)
            if cut is not None:
                self._cuts.remove(cut)
        return cut


def _cut(cut: Cut, client: socket.socket, server: socket.socket, data: bytes) -> None:
    """First the client, so that it learns nothing; then the rest, which the server carries out or not."""
    _shut(client)
    _sent(server, data if cut.fate == "done" else data.removesuffix(COMMIT))
    server.shutdown(socket.SHUT_WR)
    cut.happened.set()


def _pump(source: socket.socket, target: socket.socket) -> None:
    """Pass on until the source ends, which ends the target."""
    while (data := _received(source)) and _sent(target, data):
        pass
    _shut(target)


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


def _sent(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


def _started(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread
