"""Looking up hosts: a silent name server holds up the accounts that need it, and no others."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from redrive.models.clock import boottime
from redrive.models.rules import LATE_SECONDS
from redrive.worker import names
from redrive.worker.crew import Crew
from redrive.worker.loop import EventLoop
from redrive.worker.names import Names
from redrive.worker.providers.base import Exchange
from tests.support.calls import client, exchange
from tests.support.peer import answering, http, serving

SILENT = "silent-{}.example"
real = socket.getaddrinfo


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Iterator["Silence"]:
    """Names that end in .example are looked up until the end of the test."""
    silence = Silence()
    monkeypatch.setattr(socket, "getaddrinfo", silence.getaddrinfo)
    yield silence
    silence.over.set()


class Silence:
    def __init__(self) -> None:
        self.over = threading.Event()
        self.asked: list[str] = []
        self._changed = threading.Condition()

    async def until(self, hosts: int) -> None:
        """Wait until so many have been asked for."""
        await asyncio.get_running_loop().run_in_executor(None, self._wait, hosts)

    def _wait(self, hosts: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= hosts, 20)

    def getaddrinfo(self, host: str, *args: Any) -> Any:
        if host.endswith(".example"):
            with self._changed:
                self.asked.append(host)
                self._changed.notify_all()
            self.over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "silence")
        return real(host, *args)

    def threads(self) -> int:
        return sum(thread.name.startswith("redrive-names") for thread in threading.enumerate())


@pytest.mark.parametrize("accounts", [6, 12, 30])
def test_many_accounts_with_a_silent_name_server_delay_no_other(silence: Silence, accounts: int) -> None:
    """The healthy one's call is answered at once, by name."""

    async def calls() -> tuple[Exchange, float]:
        async with serving(answering(http(200))) as server:
            crew = Crew()
            async with client(f"http://localhost:{server.port}", crew=crew) as healthy:
                slow = [client(f"https://{SILENT.format(n)}", crew=crew) for n in range(accounts)]
                opened = [await each.__aenter__() for each in slow]
                waiting = [asyncio.create_task(exchange(each)) for each in opened]
                await silence.until(accounts)
                began = boottime()
                result = await exchange(healthy)
                took = boottime() - began
                for each in slow:
                    await each.__aexit__(None, None, None)
                assert not any([(await each).sent for each in waiting])
            return result, took

    result, took = asyncio.run(calls())
    assert result.answer is not None
    assert took < LATE_SECONDS


def test_one_host_is_looked_up_once_at_a_time(silence: Silence) -> None:
    """Whoever asks meanwhile waits for the same: threads that are stuck are as many as hosts, not as calls."""

    async def calls() -> None:
        found = Names()
        asking = [asyncio.create_task(found.resolve(SILENT.format(n % 3), 443)) for n in range(60)]
        await silence.until(3)
        assert silence.threads() == 3
        for each in asking:
            each.cancel()
        again = asyncio.create_task(found.resolve(SILENT.format(1), 443))
        await asyncio.sleep(0)
        assert silence.threads() == 3
        silence.over.set()
        with pytest.raises(OSError, match="silence"):
            await again

    asyncio.run(calls())
    assert sorted(silence.asked) == [SILENT.format(n) for n in range(3)]


def test_nobody_waits_for_a_name_server_for_ever(silence: Silence, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call ends unsent, with words that say what to check."""
    monkeypatch.setattr(names, "LOOKUP_SECONDS", 0.1)

    async def call() -> Exchange:
        async with client("https://silent.example") as http_client:
            return await exchange(http_client)

    result = asyncio.run(call())
    assert (result.sent, result.withheld) == (False, False)
    assert "the name server gave no answer in 0.1 s" in result.error
    assert result.error.endswith("check base_url, and the name server of this machine")
    assert len(silence.asked) == 1


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_what_is_known_is_found(host: str) -> None:
    found = asyncio.run(Names().resolve(host, 443))
    assert {each["host"] for each in found} & {"127.0.0.1", "::1"}
    assert {each["port"] for each in found} == {443}


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 300, "ä" * 100, ""])
def test_what_is_not_is_an_error_of_the_system(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - the words are the system's
        asyncio.run(Names().resolve(host or "\0", 443))


def test_permits_are_asked_for_beside_the_lookups(silence: Silence) -> None:
    """The database is asked in threads that no name server can fill."""
    with closing(EventLoop()) as loop, ExitStack() as stack:
        crew = Crew()
        stack.callback(crew.close)

        async def asks() -> str:
            for n in range(40):
                asyncio.ensure_future(crew.names.resolve(SILENT.format(n), 443)).add_done_callback(
                    lambda done: done.cancelled() or done.exception()
                )
            await asyncio.sleep(0)
            running = asyncio.get_running_loop()
            return await running.run_in_executor(crew.permits, lambda: threading.current_thread().name)

        assert loop.submit(asks()).result(5).startswith("redrive-permits")
        silence.over.set()
