"""Everything a server can do to a call, each with what can be known afterwards: did bytes leave?"""

import asyncio
from dataclasses import dataclass

from tests.support.calls import IMPATIENT_SECONDS, PATIENT_SECONDS
from tests.support.peer import Behaviour, Peer, http

DRIP_SECONDS = 0.02


@dataclass(frozen=True)
class Misbehaviour:
    """A server that gives no complete answer; ``timeout_seconds`` is short where only patience ends the call."""

    name: str
    behaviour: Behaviour
    timeout_seconds: float = PATIENT_SECONDS

    def __str__(self) -> str:
        return self.name


async def drop_unread(peer: Peer) -> None:
    await peer.first_byte()
    peer.reset()


async def drop_read(peer: Peer) -> None:
    await peer.request()


async def reset_in_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(http(200, b"x" * 100)[:-50])
    peer.reset()


async def truncate_head(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Le")


async def truncate_body(peer: Peer) -> None:
    await peer.request()
    await peer.send(http(200, b"x" * 100)[:-50])


async def truncate_chunks(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")


async def garbage(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"\x00\xff\xfegarbage, not HTTP\r\n\r\n")


async def status_below_100(peer: Peer) -> None:
    await peer.request()
    await peer.send(http("099"))


async def hang(peer: Peer) -> None:
    await peer.request()
    await peer.hang_up_of_client()


async def inform_only(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 102 Processing\r\n\r\n")
    await peer.hang_up_of_client()


async def drip(peer: Peer) -> None:
    await peer.request()
    await peer.send(http(200, b"x" * 10_000)[:-10_000])
    while True:
        await peer.send(b"x")
        await asyncio.sleep(DRIP_SECONDS)


async def flood(peer: Peer) -> None:
    await peer.request()
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


SENT_WITHOUT_ANSWER = (
    Misbehaviour("dropped before the request was read", drop_unread),
    Misbehaviour("dropped after the request was read", drop_read),
    Misbehaviour("reset in the body", reset_in_body),
    Misbehaviour("truncated head", truncate_head),
    Misbehaviour("truncated body", truncate_body),
    Misbehaviour("truncated chunks", truncate_chunks),
    Misbehaviour("garbage", garbage),
    Misbehaviour("a status below 100", status_below_100),
    Misbehaviour("oversized", flood),
    Misbehaviour("hanging", hang, IMPATIENT_SECONDS),
    Misbehaviour("informing only", inform_only, IMPATIENT_SECONDS),
    Misbehaviour("dripping", drip, IMPATIENT_SECONDS),
)
