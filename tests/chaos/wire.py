"""The wire between workers and the provider: it can be cut, and it can be down."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
CHUNK = 1 << 16
ANSWER_SECONDS = 10.0


class Wire:
    """Forwards a loopback port to another, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wire", daemon=True)
        self._thread.start()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0
        self.up()

    def up(self) -> None:
        """Take connections, again on the same port."""
        self._do(self._listen())

    def down(self) -> None:
        """Break every connection and refuse new ones."""
        self._do(self._refuse())

    def cut(self) -> int:
        """Break every connection in the middle of whatever it carries; how many there were."""
        return self._do(self._cut())

    def close(self) -> None:
        """End the thread."""
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, what: Coroutine[Any, Any, int]) -> int:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(ANSWER_SECONDS)

    async def _listen(self) -> int:
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]
        return self.port

    async def _refuse(self) -> int:
        if self._server is not None:
            self._server.close()
            self._server = None
        return await self._cut()

    async def _cut(self) -> int:
        open_ones = list(self._open)
        for writer in open_ones:
            _reset(writer)
        await asyncio.sleep(0)
        return len(open_ones)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            return writer.close()
        self._open |= {writer, far_writer}
        ways = [asyncio.ensure_future(_pump(reader, far_writer)), asyncio.ensure_future(_pump(far_reader, writer))]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        for end in (writer, far_writer):
            end.close()
        self._open -= {writer, far_writer}
        return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes until one end has had enough; a reset is passed on as one."""
    try:
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    except OSError:
        _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.transport.abort()
