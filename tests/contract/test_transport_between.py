"""What stands between us and a provider: long headers, compression, authorities and proxies of a company's own."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import trustme

from redrive.worker.bodies import UnreadableBodyError, unpacked
from redrive.worker.http import refusal
from redrive.worker.providers.base import Request
from redrive.worker.session import MAX_HEADER_BYTES, MAX_HEADERS
from redrive.worker.tls import trusting
from tests.support.calls import client, exchange
from tests.support.peer import Behaviour, Peer, Server, answering, http, serving
from tests.support.servers import free_port

OK = http(200, b'{"ok":true}')


class Header(httpx.Auth):
    """Signs with a header."""

    def __init__(self, value: str) -> None:
        self.value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Key"] = self.value
        yield request


# --- Headers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [8_192, 9_120, 16_384, 32_768, 100_000])
async def test_a_login_token_of_any_usual_length_is_received(length: int) -> None:
    """The library's own limit is 8,190; tokens with a catalog are four times as long, and longer."""
    token = "MIIF" * (length // 4)
    answer = http(201, b"{}", f"X-Subject-Token: {token}")
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        result = await exchange(http_client)
    assert result.answer is not None
    assert result.answer.headers["x-subject-token"] == token


@pytest.mark.parametrize("length", [9_120, 16_384, 32_768])
async def test_it_is_sent_too(length: int) -> None:
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        result = await exchange(http_client, auth=Header("MIIF" * (length // 4)))
    assert result.answer is not None
    assert b": " + b"MIIF" * (length // 4) in server.requests[0]


@pytest.mark.parametrize("length", [MAX_HEADER_BYTES + 1, 300_000])
async def test_a_longer_header_is_named_with_its_limit(length: int) -> None:
    """The answer is HTTP: what it has too much of is said."""
    answer = http(200, b"{}", f"X-Subject-Token: {'x' * length}")
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.answer) == (True, None)
    assert result.error == f"no complete answer: a header of the answer is longer than {MAX_HEADER_BYTES} bytes"


async def test_as_many_headers_as_proxies_add_are_received() -> None:
    answer = http(200, b"{}", *(f"X-{n}: y" for n in range(MAX_HEADERS - 1)))
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        assert (await exchange(http_client)).answer is not None


@pytest.mark.parametrize(
    "key", ["\u201cgl-4711-secret\u201d", "schlüssel", "キー", "a\nb", "a\x7fb", "a\0", "x" * (MAX_HEADER_BYTES + 1)]
)
async def test_what_cannot_stand_in_a_header_is_the_credentials_fault(key: str) -> None:
    """Nothing leaves, the words name no part of it, and they say what to check."""
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        result = await exchange(http_client, auth=Header(key))
    assert (result.sent, result.answer, result.fault) == (False, None, "credentials")
    assert "check the account's credentials" in result.error
    assert server.received == b""
    assert key not in result.error


class Raising(httpx.Auth):
    """Somebody else's signature, which raises something."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise self.error
        yield request


@pytest.mark.parametrize(
    "error", [SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError(), MemoryError(), RecursionError(), OSError(5)]
)
async def test_whatever_a_signature_raises_is_a_value(error: BaseException) -> None:
    """The loop under it serves all other accounts."""
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        result = await exchange(http_client, auth=Raising(error))
        after = await exchange(http_client)
    assert (result.sent, result.withheld, result.fault) == (False, False, "")
    assert result.error.startswith("not sent: the provider's code cannot sign the request: ")
    assert after.answer is not None


@pytest.mark.parametrize(
    "request_",
    [Request("POST", "/", json={"id": "\ud800"}), Request("GET", "/\x00"), Request("PO ST\n", "/")],
    ids=repr,
)
async def test_a_request_that_cannot_be_built_is_the_tasks_fault(request_: Request) -> None:
    async with client("https://127.0.0.1") as http_client:
        result = await exchange(http_client, request_)
        assert (result.sent, result.fault) == (False, "task")
        assert refusal(request_, "https://127.0.0.1").startswith("its request cannot be built")


async def test_an_address_that_cannot_be_called_is_nobodys_tasks_fault() -> None:
    async with client("https://[bad") as http_client:
        result = await exchange(http_client)
        assert (result.sent, result.fault) == (False, "")
        assert not refusal(Request("GET", "/"), "https://[bad")


# --- Compression -------------------------------------------------------------------------------------------------

BODY = b'{"code":0,"msg":"' + b"a" * 500 + b'"}'


def bare_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "in capitals": ("GZIP", gzip.compress),
    "old name": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", bare_deflate),
    "twice": ("gzip, gzip", lambda data: gzip.compress(gzip.compress(data))),
    "both": ("deflate, identity, gzip", lambda data: gzip.compress(zlib.compress(data))),
    "in two members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "only said so": ("gzip", lambda data: data),
    "not at all": ("identity", lambda data: data),
}


@pytest.mark.parametrize("name", PACKED)
async def test_an_answer_that_was_compressed_anyway_is_read(name: str) -> None:
    encoding, pack = PACKED[name]
    answer = http(200, pack(BODY), f"Content-Encoding: {encoding}")
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        result = await exchange(http_client)
    assert result.answer is not None
    assert result.answer.body == BODY
    assert b"accept-encoding: identity" in server.requests[0].lower()


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: gzip.compress(gzip.compress(data))])
async def test_a_bomb_ends_at_the_limit(pack: Callable[[bytes], bytes]) -> None:
    """The limit is on what it becomes."""
    encoding = "gzip" if pack is gzip.compress else "gzip, gzip"
    answer = http(200, pack(bytes(20_000_000)), f"Content-Encoding: {encoding}")
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        result = await exchange(http_client, max_bytes=50_000)
    assert (result.sent, result.answer) == (True, None)
    assert result.error == "no complete answer: answer larger than 50000 bytes once decompressed"


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        ("lzma", b"x", "the answer is compressed as 'lzma', which cannot be read here"),
        ("gzip", gzip.compress(BODY, mtime=0)[:10] + b"\xff" * 20, "the answer's gzip compression is broken"),
        ("deflate", b"\x78\xff\xff\xff", "the answer's deflate compression is broken"),
        (", ".join(["gzip"] * 9), gzip.compress(BODY, mtime=0), "the answer is compressed 9 times"),
    ],
)
async def test_what_cannot_be_unpacked_is_no_answer_and_says_why(encoding: str, body: bytes, words: str) -> None:
    answer = http(200, body, f"Content-Encoding: {encoding}")
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.answer) == (True, None)
    assert result.error.startswith(f"no complete answer: {words}")


def test_the_limit_after_unpacking_is_exact() -> None:
    assert unpacked(gzip.compress(b"x" * 1000), ["gzip"], 1000) == b"x" * 1000
    with pytest.raises(UnreadableBodyError):
        unpacked(gzip.compress(b"x" * 1001), ["gzip"], 1000)


# --- Authorities -------------------------------------------------------------------------------------------------


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


async def test_an_authority_of_ones_own_is_trusted_where_it_is_named(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """Without it nothing leaves, and the words name the key."""
    async with (
        serving(answering(OK), tls=server_tls) as server,
        client(server.https) as without,
        client(server.https, ca_file=str(ca_file)) as with_it,
    ):
        refused, answered = await exchange(without), await exchange(with_it)
    assert (refused.sent, refused.answer) == (False, None)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.error
    assert "ca_file" in refused.error
    assert answered.answer is not None


@pytest.mark.parametrize("text", [None, "", "no certificate"])
async def test_a_file_of_authorities_that_cannot_be_used_is_named(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "bad.pem"
    if text is not None:
        path.write_text(text)
    async with client("https://127.0.0.1", ca_file=str(path)) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.withheld) == (False, False)
    assert result.error.startswith(f"not sent: ca_file {path} cannot be used")


def test_accounts_that_trust_the_same_share_it(ca_file: Path) -> None:
    """A context takes most of a megabyte, and most of a thousand accounts may never call."""
    assert trusting() is trusting()
    assert trusting(str(ca_file)) is trusting(str(ca_file))
    assert trusting(str(ca_file)) is not trusting()


# --- Proxies -----------------------------------------------------------------------------------------------------


def forwarding(server: Server) -> Behaviour:
    """A proxy: it opens tunnels, and answers what is sent in the clear by itself."""

    async def behave(peer: Peer) -> None:
        head = await peer.request()
        if not head.startswith(b"CONNECT"):
            await peer.send(http(200, b'"from the proxy"'))
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await asyncio.gather(_relay(peer._reader, writer), _relay(reader, peer._writer))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    return behave


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, RuntimeError):
        writer.close()


async def test_calls_go_through_the_proxy_and_stay_secret_to_it(server_tls: ssl.SSLContext, ca_file: Path) -> None:
    """A tunnel: the proxy learns the host, and neither credentials nor the request."""
    async with serving(answering(OK), tls=server_tls) as server, serving(forwarding(server)) as proxy:
        trust = {"proxy": proxy.http.replace("//", "//user:word@"), "ca_file": str(ca_file)}
        async with client(server.https, **trust) as http_client:
            result = await exchange(http_client, auth=Header("key"))
    assert result.answer is not None
    assert result.answer.body == b'{"ok":true}'
    assert proxy.requests[0].startswith(f"CONNECT 127.0.0.1:{server.port}".encode())
    assert b"proxy-authorization: basic dxnlcjp3b3jk" in proxy.requests[0].lower()
    assert b"x-key" not in proxy.received.lower()
    assert b"proxy-auth" not in server.requests[0].lower()
    assert b"x-key: key" in server.requests[0].lower()


async def test_a_call_that_is_told_to_stop_opens_a_tunnel_and_sends_nothing(
    server_tls: ssl.SSLContext, ca_file: Path
) -> None:
    """What the proxy is asked is not the request: whether that may leave is asked when the tunnel stands."""
    async with serving(answering(OK), tls=server_tls) as server, serving(forwarding(server)) as proxy:
        trust = {"proxy": proxy.http, "ca_file": str(ca_file)}
        async with client(server.https, **trust) as http_client:
            result = await exchange(http_client, may_send=lambda: False)
        await server.quiet()
    assert (result.sent, result.withheld, result.answer) == (False, True, None)
    assert (server.requests, proxy.connections) == ([], 1)


async def test_plain_http_goes_through_the_proxy_too_with_its_password() -> None:
    async with serving(answering(OK)) as server, serving(forwarding(server)) as proxy:
        address = proxy.http.replace("http://", "http://user:pass%2Fword@")
        async with client(server.http, proxy=address) as http_client:
            result = await exchange(http_client)
    assert result.answer is not None
    assert result.answer.body == b'"from the proxy"'
    assert b"proxy-authorization: basic dxnlcjpwyxnzl3dvcmq=" in proxy.requests[0].lower()
    assert server.connections == 0


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_proxy_that_refuses_is_named(status: int, ca_file: Path) -> None:
    """Nothing reached the provider."""
    async with (
        serving(answering(http(status, b"no"))) as proxy,
        client("https://provider.example", proxy=proxy.http, ca_file=str(ca_file)) as http_client,
    ):
        result = await exchange(http_client)
    assert (result.sent, result.answer) == (False, None)
    assert result.error.startswith("not sent: the proxy refuses the connection; check proxy")


async def test_a_proxy_that_cannot_be_reached_is_named() -> None:
    async with client("https://provider.example", proxy=f"http://127.0.0.1:{free_port()}") as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.answer) == (False, None)
    assert result.error.endswith("; check proxy")
