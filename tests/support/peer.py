"""A real server on loopback that behaves as badly as it is told, and remembers all it read."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

END_OF_HEAD = b"\r\n\r\n"


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def request(self) -> bytes:
        """One whole request, head and body.

        Raises:
            EOFError: the client closed the connection first.
        """
        head = await self._read(self._reader.readuntil(END_OF_HEAD))
        body = await self._read(self._reader.readexactly(_content_length(head)))
        await self._server.note(requests=[head + body])
        return head + body

    async def first_byte(self) -> None:
        """Wait until the request has begun to arrive."""
        await self._read(self._reader.readexactly(1))

    async def hang_up_of_client(self) -> None:
        """Read until the client closes the connection."""
        await self._read(self._reader.read())

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        linger = struct.pack("ii", 1, 0)
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _read(self, reading: Awaitable[bytes]) -> bytes:
        data = await reading
        self._server.received += data
        return data


Behaviour = Callable[[Peer], Awaitable[None]]


class Server:
    """What came in.

    Attributes:
        connections: how many were opened.
        most_open: how many of them at one time.
        requests: the whole requests, in the order of their arrival.
        received: every byte read, also of unfinished requests.
    """

    def __init__(self, behaviour: Behaviour) -> None:
        self.connections = 0
        self.most_open = 0
        self.requests: list[bytes] = []
        self.received = b""
        self.port = 0
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    @property
    def http(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def https(self) -> str:
        """Its base URL where it speaks TLS, or should."""
        return f"https://127.0.0.1:{self.port}"

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(Peer(self, reader, writer))))

    async def note(self, *, connection: int = 0, requests: Sequence[bytes] = ()) -> None:
        """Remember what came."""
        async with self._changed:
            self.connections += connection
            self.most_open = max(self.most_open, sum(not task.done() for task in self._tasks))
            self.requests += requests
            self._changed.notify_all()

    async def _serve(self, peer: Peer) -> None:
        await self.note(connection=1)
        try:
            with suppress(EOFError, ConnectionError, ssl.SSLError):  # the client is gone, which ends every behaviour
                await self._behaviour(peer)
        finally:
            with suppress(ConnectionError, ssl.SSLError):
                await peer.close()

    async def until(self, reached: Callable[[], bool]) -> None:
        """Wait until a connection or a request makes it true."""
        async with self._changed:
            await self._changed.wait_for(reached)

    async def quiet(self) -> None:
        """Wait until every connection so far has been dealt with to its end."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Listen on a free port of 127.0.0.1 and behave so on every connection."""
    server = Server(behaviour)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()
        await listener.wait_closed()


def http(status: str | int, body: bytes = b"{}", *headers: str) -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + END_OF_HEAD + body


def answering(data: bytes) -> Behaviour:
    """Answer every request on a connection with the same bytes."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(data)

    return behave


def _content_length(head: bytes) -> int:
    fields = (line.split(b":") for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return next((int(value) for _, value in fields), 0)
