"""The transport against real sockets: ``sent`` is true to the wire, one sending at most, never an exception."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import suppress
from itertools import count

import httpx
import pytest
import trustme

from redrive.models.clock import boottime
from redrive.sandbox.huawei_signatures import Signature, sign
from redrive.worker.providers.base import Account, Answer, Request, TaskRef
from redrive.worker.providers.huawei_workspace import HuaweiWorkspace
from tests.contract.misbehaviour import SENT_WITHOUT_ANSWER, Misbehaviour, hang
from tests.support.calls import IMPATIENT_SECONDS, client, exchange
from tests.support.peer import Behaviour, Peer, answering, http, serving
from tests.support.servers import free_port

OK = http(200, b'{"ok":true}')


# --- nothing leaves ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["https://127.0.0.1:{closed}", "https://nonexistent.invalid"])
async def test_a_host_that_cannot_be_reached_gets_nothing(host: str) -> None:
    """Refused, or a name nobody knows: not sent, and the error names the host."""
    async with client(host.format(closed=free_port())) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.withheld, result.answer) == (False, False, None)
    assert result.error.startswith(f"not sent: Cannot connect to host {host[8:17]}")


async def test_an_untrusted_certificate_stops_the_call(server_tls: ssl.SSLContext) -> None:
    """TLS is verified before a byte of the request leaves."""
    async with serving(answering(OK), tls=server_tls) as server, client(server.https) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.answer, server.received) == (False, None, b"")
    assert "CERTIFICATE_VERIFY_FAILED" in result.error


async def test_a_certificate_of_another_name_stops_the_call(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    """A trusted certificate must also be this host's."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("other.example").configure_cert(tls)
    async with serving(answering(OK), tls=tls) as server, client(server.https, verify=trusting) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.answer, server.received) == (False, None, b"")


async def test_a_server_without_tls_gets_no_request() -> None:
    """Bytes of a handshake are not bytes of the request."""

    async def behave(peer: Peer) -> None:
        await peer.first_byte()
        await peer.send(b"HTTP/1.1 400 This is not TLS\r\n\r\n")

    async with serving(behave) as server, client(server.https) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.answer) == (False, None)
    assert b"POST" not in server.received


async def test_a_handshake_that_hangs_ends_unsent() -> None:
    """The total timeout covers connecting, and what it cuts there costs no attempt."""

    async def behave(peer: Peer) -> None:
        await peer.hang_up_of_client()

    async with serving(behave) as server, client(server.https, timeout_seconds=IMPATIENT_SECONDS) as http_client:
        result = await exchange(http_client)
    assert (result.sent, result.withheld, result.error) == (False, False, "not sent: timed out")


@pytest.mark.parametrize(
    "request_",
    [
        Request("GET", "/", base_url="http://example.com"),
        Request("GET", "/", base_url="http://[bad"),
        Request("GET", "/", base_url="ftp://127.0.0.1"),
        Request("GET", "/", base_url="no-scheme"),
        Request("GET", "/", base_url="https://"),
        Request("GET", "/\x00"),
        Request("POST", "/", json={"id": "\ud800"}),
        Request("POST", "/", json={"id": float("nan")}),
        Request("POST", "/", json={"id": object()}),
    ],
    ids=repr,
)
async def test_a_request_that_cannot_be_made_is_not_sent(request_: Request) -> None:
    """A bad address, plain HTTP to another machine, a body that is no JSON: a value, not an exception."""
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        result = await exchange(http_client, request_)
    assert (result.sent, result.withheld, result.answer, server.connections) == (False, False, None, 0)
    assert result.error.startswith("not sent: ")


async def test_plain_http_leaves_the_machine_only_where_allowed() -> None:
    """``allow_http`` opens what is refused otherwise."""
    request = Request("GET", "/", base_url="http://nonexistent.invalid")
    async with client("https://127.0.0.1") as strict, client("https://127.0.0.1", allow_http=True) as lenient:
        assert "allow_http" in (await exchange(strict, request)).error
        assert "Cannot connect to host nonexistent.invalid" in (await exchange(lenient, request)).error


class Header(httpx.Auth):
    """Signs with a header, and would like to send twice."""

    def __init__(self, value: str) -> None:
        self.value = value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["X-Key"] = self.value
        yield request
        yield request


@pytest.mark.parametrize("key", ["line end\n", "return\r", "zero\0"])
async def test_a_key_with_a_control_character_is_not_sent(key: str) -> None:
    """A key pasted with its line end cannot be written into a header: nothing leaves, nothing is spent."""
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        result = await exchange(http_client, auth=Header(key))
        assert (result.sent, result.answer) == (False, None)
        await server.until(lambda: server.connections == 1)
        await server.quiet()
    assert server.received == b""


class Failing(httpx.Auth):
    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        raise ZeroDivisionError(request.url)


async def test_a_signature_that_fails_is_not_sent() -> None:
    """What an auth raises is an outcome like any other."""
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        result = await exchange(http_client, auth=Failing())
    assert (result.sent, result.withheld, server.connections) == (False, False, 0)


# --- the last check -----------------------------------------------------------------------------------------------


async def listen(peer: Peer) -> None:
    await peer.hang_up_of_client()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_call_told_to_stop_sends_no_byte(
    server_tls: ssl.SSLContext, trusting: ssl.SSLContext, *, tls: bool
) -> None:
    """The question is asked once, after connecting; the server then reads nothing until the end of the connection."""
    asked = count()
    async with (
        serving(listen, tls=server_tls if tls else None) as server,
        client(server.https if tls else server.http, verify=trusting) as http_client,
    ):
        result = await exchange(http_client, may_send=lambda: next(asked) < 0)
        await server.until(lambda: server.connections == 1)
        await server.quiet()
    assert (result.sent, result.withheld, result.answer) == (False, True, None)
    assert (next(asked), server.received) == (1, b"")


async def test_a_call_that_becomes_late_while_connecting_sends_no_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The clock is read again when the connection stands: a suspended machine must not send after its lease."""
    async with serving(listen) as server, client(server.http) as http_client:
        deadline = boottime() + 60
        monkeypatch.setattr("redrive.worker.session.boottime", lambda: deadline + 0.001)
        result = await exchange(http_client, not_after=deadline)
        await server.until(lambda: server.connections == 1)
        await server.quiet()
    assert (result.sent, result.withheld, server.connections, server.received) == (False, True, 1, b"")


async def test_a_call_whose_moment_comes_too_late_is_withheld_in_time() -> None:
    """It does not wait for its moment beyond the deadline."""
    async with serving(listen) as server, client(server.http) as http_client:
        result = await exchange(http_client, leave_in=3600, not_after=boottime() + 0.05)
    assert (result.sent, result.withheld, server.connections) == (False, True, 0)


async def test_a_call_without_a_slot_is_withheld_in_time() -> None:
    """Nor does it wait for others to finish: whoever holds its tasks must be able to give them back."""
    async with serving(hang) as server, client(server.http, concurrency=1) as http_client:
        first = asyncio.create_task(exchange(http_client))
        await server.until(lambda: len(server.requests) == 1)
        result = await exchange(http_client, not_after=boottime() + 0.05)
        first.cancel()
    assert (result.sent, result.withheld, len(server.requests)) == (False, True, 1)


async def test_a_call_leaves_at_its_moment() -> None:
    """``leave_in`` is waited for before connecting, and does not eat into the timeout."""
    async with serving(answering(OK)) as server, client(server.http, timeout_seconds=0.2) as http_client:
        started = boottime()
        result = await exchange(http_client, leave_in=0.3)
    assert result.answer is not None
    assert boottime() - started >= 0.3


# --- sent, and no answer -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("misbehaviour", SENT_WITHOUT_ANSWER, ids=str)
async def test_what_was_sent_stays_sent(misbehaviour: Misbehaviour) -> None:
    """Whatever httpx calls it (a dropped connection is its ConnectTimeout): bytes left, no answer came, once."""
    async with (
        serving(misbehaviour.behaviour) as server,
        client(server.http, timeout_seconds=misbehaviour.timeout_seconds) as http_client,
    ):
        result = await exchange(http_client)
        await server.quiet()
    assert (result.sent, result.withheld, result.answer, server.connections) == (True, False, None, 1)
    assert result.error.startswith("no complete answer: ")


async def test_closing_the_client_ends_its_calls() -> None:
    """A call under way becomes a value when the client is closed, not an exception in somebody's thread."""
    async with serving(hang) as server, client(server.http) as http_client:
        call = asyncio.create_task(exchange(http_client))
        await server.until(lambda: len(server.requests) == 1)
        await http_client.aclose()
        result = await call
        after = await exchange(http_client)
    assert (result.sent, result.answer) == (True, None)
    assert (after.sent, after.answer) == (False, None)


async def test_closing_the_client_ends_a_search_for_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that does not answer: the lookup is canceled underneath the call, which is still a value."""
    asked, answered = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def getaddrinfo(*_: object) -> None:
        loop.call_soon_threadsafe(asked.set)
        answered.wait(60)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with client("https://slow.example") as http_client:
        call = asyncio.create_task(exchange(http_client))
        await asked.wait()
        await http_client.aclose()
        result = await call
    answered.set()
    assert (result.sent, result.withheld, result.error) == (False, False, "not sent: the client was closed")


async def test_cancellation_from_outside_gets_through() -> None:
    """Whoever cancels the call wants it gone, slot and connection included."""
    async with serving(hang) as server, client(server.http, concurrency=1) as http_client:
        call = asyncio.create_task(exchange(http_client))
        await server.until(lambda: len(server.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.quiet()
        second = asyncio.create_task(exchange(http_client))
        await server.until(lambda: len(server.requests) == 2)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second


# --- one sending -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_breaks_is_not_tried_again(method: str) -> None:
    """The library would repeat a GET by itself: without a permit, and with the old signature."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    request = Request(method, "/look")
    async with serving(behave) as server, client(server.http) as http_client:
        first = await exchange(http_client, request)
        second = await exchange(http_client, request)
        await server.quiet()
    assert first.answer is not None
    assert (second.sent, second.withheld, second.answer) == (True, False, None)
    assert len(server.requests) == 2


async def test_an_auth_cannot_send_twice() -> None:
    """Only the first request of its flow is sent."""
    async with serving(answering(http(401))) as server, client(server.http) as http_client:
        result = await exchange(http_client, auth=Header("key"))
    assert result.answer is not None
    assert len(server.requests) == 1


@pytest.mark.parametrize("location", ["/elsewhere", "http://[bad", "https://example.com/"])
async def test_a_redirect_is_an_answer(location: str) -> None:
    """It is not followed, wherever it points, and need not even point anywhere."""
    async with (
        serving(answering(http(307, b"", f"Location: {location}"))) as server,
        client(server.http) as http_client,
    ):
        result = await exchange(http_client)
    assert result.answer is not None
    assert (result.answer.status, result.answer.headers["location"], len(server.requests)) == (307, location, 1)


async def test_a_connection_the_server_closed_is_not_used_again() -> None:
    """A call after the close of an idle connection opens another, and is answered."""

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async with serving(behave) as server, client(server.http) as http_client:
        first = await exchange(http_client)
        await server.quiet()
        second = await exchange(http_client)
    assert first.answer == second.answer == Answer(200, {"content-length": "11"}, b'{"ok":true}')
    assert server.connections == 2


async def test_a_stray_answer_is_not_taken_for_the_next_one() -> None:
    """What a server says on an idle connection answers nothing: that connection is not used again."""
    answered, strayed = asyncio.Event(), asyncio.Event()

    async def behave(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await answered.wait()
        await peer.send(http(200, b"stray"))
        strayed.set()
        await peer.hang_up_of_client()

    async with serving(behave) as server, client(server.http) as http_client:
        await exchange(http_client)
        answered.set()
        await strayed.wait()
        result = await exchange(http_client)
    assert (result.sent, result.answer, len(server.requests)) == (False, None, 1)


async def test_a_second_answer_at_once_is_not_taken_for_the_next_one() -> None:
    """The same when both come together."""
    async with serving(answering(OK + http(200, b"stray"))) as server, client(server.http) as http_client:
        results = [await exchange(http_client) for _ in range(3)]
    assert [result.answer and result.answer.body for result in results] == [b'{"ok":true}'] * 3
    assert server.connections == 3


# --- many at once ------------------------------------------------------------------------------------------------


def gathering(count: int) -> tuple[Behaviour, list[int]]:
    """Answers with the request's own path once ``count`` requests are waiting; tells how many waited each time."""
    waiting: list[int] = []
    full = asyncio.Event()

    async def behave(peer: Peer) -> None:
        while True:
            path = (await peer.request()).split()[1]
            waiting.append(len(waiting) + 1)
            if len(waiting) == count:
                full.set()
            await full.wait()
            await peer.send(http(200, path))

    return behave, waiting


async def test_fifty_calls_at_once_are_kept_apart() -> None:
    """Each gets its own answer, and its own last check: every second one is withheld."""
    behave, _ = gathering(25)
    async with serving(behave) as server, client(server.http, concurrency=50) as http_client:
        calls = (
            exchange(http_client, Request("GET", f"/{n}"), may_send=lambda n=n: n % 2 == 0)  # type: ignore[misc]
            for n in range(50)
        )
        results = await asyncio.gather(*calls)
    bodies = [result.answer and result.answer.body for result in results]
    assert bodies == [None if n % 2 else f"/{n}".encode() for n in range(50)]
    assert [result.withheld for result in results] == [bool(n % 2) for n in range(50)]
    assert len(server.requests) == 25


async def test_no_more_than_the_agreed_number_at_once() -> None:
    """Fifty calls through eight slots: the server never sees more than eight connections."""
    async with serving(answering(OK)) as server, client(server.http, concurrency=8) as http_client:
        results = await asyncio.gather(*(exchange(http_client) for _ in range(50)))
    assert all(result.answer for result in results)
    assert (server.most_open, len(server.requests)) == (8, 50)


# --- answers -----------------------------------------------------------------------------------------------------


async def test_every_status_is_an_answer() -> None:
    """200 to 999 (DocFlow knows a 900), and 101; the other 1xx only announce the one that counts."""
    statuses = [101, *range(200, 1000)]

    async def behave(peer: Peer) -> None:
        while True:
            status = (await peer.request()).split()[1].decode().strip("/")
            await peer.send(
                b"HTTP/1.1 102 Processing\r\n\r\n" + http(status, b"" if status in {"204", "304"} else b"{}")
            )

    async with serving(behave) as server, client(server.http) as http_client:
        for status in statuses:
            result = await exchange(http_client, Request("POST", f"/{status}"))
            assert result.answer is not None, (status, result)
            assert result.answer.status == status


@pytest.mark.parametrize("phrase", [b"", b" ", b" \xc7\xeb\xc7\xf3\xb9\xfd\xb6\xe0", b" " + b"x" * 1000])
async def test_the_reason_phrase_does_not_matter(phrase: bytes) -> None:
    """Whatever stands behind the number, in whatever encoding."""
    answer = b"HTTP/1.1 429" + phrase + b"\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        result = await exchange(http_client)
    assert result.answer == Answer(429, {"retry-after": "7", "content-length": "0"}, b"")


async def test_the_size_limit_is_exact() -> None:
    """A body of the limit is an answer, one of a byte more is none."""
    async with serving(answering(http(200, b"x" * 1000))) as server, client(server.http) as http_client:
        within = await exchange(http_client, max_bytes=1000)
        beyond = await exchange(http_client, max_bytes=999)
    assert within.answer is not None
    assert len(within.answer.body) == 1000
    assert (beyond.sent, beyond.answer) == (True, None)
    assert beyond.error == "no complete answer: answer larger than 999 bytes"


async def test_cookies_are_not_kept() -> None:
    """A call does not depend on the answers before it."""
    async with serving(answering(http(200, b"", "Set-Cookie: a=b"))) as server, client(server.http) as http_client:
        for _ in range(2):
            # By name: libraries keep no cookies of a numeric address anyway.
            await exchange(http_client, Request("GET", "/", base_url=f"http://localhost:{server.port}"))
    assert len(server.requests) == 2
    assert b"cookie" not in server.received.lower()


# --- requests ----------------------------------------------------------------------------------------------------


async def test_what_is_sent(server_tls: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Compact JSON in UTF-8, signed, asking for a body as it is; over TLS too."""
    request = Request("POST", "/retry", query=(("q", "a b"),), json={"ids": ["ä", 1]})
    async with serving(answering(OK), tls=server_tls) as server, client(server.https, verify=trusting) as http_client:
        result = await exchange(http_client, request, auth=Header("key"))
    assert result.answer is not None
    head, body = server.requests[0].split(b"\r\n\r\n")
    line, *fields = head.decode().lower().split("\r\n")
    assert line == "post /retry?q=a%20b http/1.1"
    assert body == '{"ids":["ä",1]}'.encode()
    assert {"content-type: application/json", "accept-encoding: identity", "x-key: key"} < set(fields)
    assert any(field.startswith("user-agent: redrive/") for field in fields)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("a b", b"a%20b"),
        ("a+b", b"a%2Bb"),
        ("a%20b", b"a%2520b"),
        ("a/b?c#d&e=f", b"a/b?c%23d%26e%3Df"),
        ("\u00e9 ~", b"%C3%A9%20~"),
        ("", b""),
    ],
)
async def test_a_query_is_quoted_as_signatures_have_it(value: str, sent: bytes) -> None:
    """A blank is %20 and never "+", which stands for itself; so every server reads the same."""
    request = Request("GET", "/records", query=(("script_task_id", value), ("limit", "100")))
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        await exchange(http_client, request)
    assert server.requests[0].split(b" HTTP")[0] == b"GET /records?script_task_id=" + sent + b"&limit=100"


@pytest.mark.parametrize("id_", ["4711", "a b", "a+b", "50%", "a/b?c#d&e=f", "\u00e9 ~", "%2F"])
async def test_a_signature_is_that_of_the_query_as_it_was_sent(id_: str) -> None:
    """A verifier that reads "+" as itself comes to the same: Huawei's form of a query has no other blank than %20."""
    options = {"region": "cn-north-4", "project_id": "p1", "access_key": "AK", "secret_key": "SK"}
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        provider = HuaweiWorkspace(Account("desktops", server.http, options))
        (call,) = provider.checks([TaskRef(1, "task", id_)]).calls
        await exchange(http_client, call.request, auth=provider.auth(None))
    first, *lines = server.requests[0].decode().split("\r\n\r\n")[0].split("\r\n")
    path, _, query = first.split(" ")[1].partition("?")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    given = Signature.read(headers["authorization"])
    assert given
    assert "+" not in query
    names = given.signed_headers
    signed = sign("SK", method="GET", raw_path=path, query=query, headers=headers, names=names, body=b"")
    assert given.value == signed


async def test_no_body_is_sent_without_json() -> None:
    """A login or a check without a body does not claim to have one."""
    async with serving(answering(OK)) as server, client(server.http) as http_client:
        await exchange(http_client, Request("GET", "/"))
        await exchange(http_client, Request("POST", "/"))
    get, post = (request.lower() for request in server.requests)
    assert b"content-" not in get
    assert b"content-length: 0" in post
    assert b"content-type" not in post


async def test_the_environment_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy from the environment gets to see a call."""
    async with serving(answering(OK)) as proxy, serving(answering(OK)) as server, client(server.http) as http_client:
        monkeypatch.setenv("HTTP_PROXY", proxy.http)
        monkeypatch.setenv("ALL_PROXY", proxy.http)
        await exchange(http_client)
    assert (proxy.connections, server.connections) == (0, 1)


async def test_errors_hold_no_secret() -> None:
    """An address may hold one, and errors name addresses."""
    async with client("https://s3cret-host.invalid", secrets=["s3cret"]) as http_client:
        result = await exchange(http_client)
    assert "***-host.invalid" in result.error
    assert "s3cret" not in result.error
