"""Looking up hosts, without a pool of threads that a few silent name servers could fill."""

import asyncio
import socket
import threading
from concurrent.futures import Future
from typing import Final

from aiohttp.abc import AbstractResolver, ResolveResult

LOOKUP_SECONDS: Final = 10.0
"""How long a call waits for a name server; the lookup itself cannot be ended, and goes on in its thread."""

CACHE_SECONDS: Final = 60
"""How long an address is believed."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV

Key = tuple[str, int, int]
Found = list[ResolveResult]


class Names(AbstractResolver):
    """A thread per host that is being looked up, and never two for one host: all who ask wait for the same."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[Key, Future[Found]] = {}

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC) -> Found:
        """The host's addresses.

        Raises:
            OSError: there are none, or the name server is silent.
        """
        lookup = asyncio.wrap_future(self._lookup((host, port, family)))
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                return list(await lookup)
        except TimeoutError:
            words = f"the name server gave no answer in {LOOKUP_SECONDS:g} s"
            raise socket.gaierror(socket.EAI_AGAIN, words) from None

    async def close(self) -> None:
        """There is nothing to close: other sessions use it too."""

    def _lookup(self, key: Key) -> Future[Found]:
        with self._lock:
            if (under_way := self._under_way.get(key)) is not None:
                return under_way
            future = self._under_way[key] = Future()
        future.set_running_or_notify_cancel()  # one that stops waiting does not end it for the others
        # Not of an executor, at whose end the process would wait for the name server.
        thread = threading.Thread(target=self._look_up, args=(key, future), name=f"redrive-names-{key[0]}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            self._done(key)
            future.set_exception(OSError(f"no thread to look it up: {error}"))
        return future

    def _look_up(self, key: Key, future: "Future[Found]") -> None:
        try:
            found = _addresses(*key)
        except Exception as error:  # noqa: BLE001 - all who wait must learn of it
            self._done(key)
            known = (
                error if isinstance(error, OSError) else socket.gaierror(socket.EAI_NONAME, "not the name of a host")
            )
            future.set_exception(known)
        else:
            self._done(key)
            future.set_result(found)

    def _done(self, key: Key) -> None:
        with self._lock:
            del self._under_way[key]


def _addresses(host: str, port: int, family: int) -> Found:
    found: Found = []
    for kind, _, protocol, _, address in socket.getaddrinfo(
        host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG
    ):
        name = str(address[0])
        if kind == socket.AF_INET6 and len(address) > 3 and address[3]:  # noqa: PLR2004 - the scope of a local address
            name = f"{name.partition('%')[0]}%{address[3]}"
        found.append(ResolveResult(hostname=host, host=name, port=port, family=kind, proto=protocol, flags=_NUMERIC))
    return found
