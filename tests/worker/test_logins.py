"""Logins that go wrong pause the account or slow it down; they never storm, and nothing grows."""

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from math import inf, nan
from typing import Any

import pytest

from redrive.models.outcome import Accepted, Already, Blocked, Cause, CheckResult, Deferred, Outcome, Throttled
from redrive.models.policy import Policy
from redrive.models.providers import HUAWEI_WORKSPACE
from redrive.models.rules import Rules
from redrive.worker.login import LEAST_SECONDS, MOST_LOGINS, MOST_SECONDS, Login, _seconds
from redrive.worker.loop import EventLoop
from redrive.worker.providers.base import Account, Exchange, Request, Token
from redrive.worker.providers.base import Answer as HttpAnswer
from redrive.worker.providers.huawei_workspace import HuaweiWorkspace
from redrive.worker.scrub import KEPT_TOKENS, Secrets
from redrive.worker.sender import Sender
from redrive.worker.session import MAX_HEADER_BYTES
from tests.support.site import make_window, refs
from tests.support.tiny import Answer, Asked, Tiny, tiny

TOKENS = "/v3/auth/tokens"
PASSWORD = "iam-secret-0123456789"
BODY = {"token": {"expires_at": "2030-01-02T00:00:00Z", "issued_at": "2030-01-01T00:00:00Z"}}
EXPIRED = {"token": {"expires_at": "2020-01-02T00:00:00Z", "issued_at": "2020-01-03T00:00:00Z"}}


@pytest.fixture(scope="module")
def loop() -> Iterator[EventLoop]:
    with closing(EventLoop()) as loop:
        yield loop


@contextmanager
def account(loop: EventLoop, says: Callable[[Asked], Answer]) -> Iterator[tuple[Sender, Tiny]]:
    """An IAM user's sender, against an IAM and a service that are one function."""
    with tiny(says) as server:
        options = {
            "region": "ap-southeast-1", "project_id": "p1", "iam_user": "u", "iam_password": PASSWORD,
            "iam_domain": "d", "iam_url": server.url,
        }  # fmt: skip
        rules = Rules("desktops", HUAWEI_WORKSPACE, Policy(), "desktops", interval_seconds=0.001, timeout_seconds=5)
        sender = Sender(
            provider=HuaweiWorkspace(Account("desktops", server.url, options)),
            rules=rules, base_url=server.url, concurrency=4, secrets=[PASSWORD],
        )  # fmt: skip
        yield sender, server
        loop.submit(sender.aclose()).result(10)


def retry(loop: EventLoop, sender: Sender, name: str = "t1") -> Outcome | CheckResult:
    return loop.submit(sender.retry(refs(name), make_window())).result(30)[1]


def iam(*, token: str | None = "MIIF", body: Any = BODY, status: int = 201) -> Callable[[Asked], Answer]:
    """An IAM that answers so, and a service that says yes."""

    def says(asked: Asked) -> Answer:
        if TOKENS in asked.path:
            return status, body, {} if token is None else {"X-Subject-Token": token}
        return 200, {"task_id": "new"}

    return says


def logins(server: Tiny) -> int:
    return sum(TOKENS in path for path in server.paths())


@pytest.mark.parametrize("length", [9_120, 16_384, 32_768])
def test_a_token_of_the_usual_size_goes_the_whole_road(loop: EventLoop, length: int) -> None:
    """Received with the login, sent with the retry; longer ones are more than the test's own server reads."""
    token = "MIIF" * (length // 4)
    with account(loop, iam(token=token)) as (sender, server):
        assert type(retry(loop, sender)) is Accepted
    assert server.asked[-1].headers["X-Auth-Token"] == token


def test_a_token_that_no_header_can_carry_names_the_limit(loop: EventLoop) -> None:
    with account(loop, iam(token="x" * (MAX_HEADER_BYTES + 1))) as (sender, server):
        found = retry(loop, sender)
    assert f"a header of the answer is longer than {MAX_HEADER_BYTES} bytes" in found.message
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(iam(token=None), id="no token"),
        pytest.param(iam(token=""), id="empty"),
        pytest.param(iam(token="tokén"), id="not ASCII"),
        pytest.param(iam(token=None, body={}, status=200), id="nothing at all"),
        pytest.param(iam(status=401, body={"error": {"code": 401, "message": "wrong password"}}), id="refused"),
        pytest.param(iam(status=400, body={"error": {"code": 400, "message": "bad"}}), id="not understood"),
    ],
)
def test_an_account_that_cannot_log_in_is_paused(loop: EventLoop, says: Callable[[Asked], Answer]) -> None:
    """Its tasks wait unharmed: each deferral would bring them nearer to their end."""
    with account(loop, says) as (sender, server):
        found = retry(loop, sender)
    assert isinstance(found, Blocked)
    assert found.cause is Cause.CREDENTIALS
    assert found.message
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_login_in_trouble_is_no_matter_of_credentials(loop: EventLoop, status: int) -> None:
    with account(loop, iam(status=status, body={})) as (sender, _):
        assert isinstance(retry(loop, sender), Deferred | Throttled)


def test_tokens_that_are_expired_when_they_come_cause_no_storm(loop: EventLoop) -> None:
    """Each is used for a minute all the same: perhaps the clock is wrong, and not the token."""
    with account(loop, iam(body=EXPIRED)) as (sender, server):
        assert all(isinstance(retry(loop, sender, f"t{n}"), Accepted) for n in range(20))
    assert logins(server) == 1


def test_tokens_that_are_refused_again_and_again_slow_the_account_down(loop: EventLoop) -> None:
    """Each login works, each token is refused once: after a few in a minute the account waits, and says why."""
    told: dict[str, int] = {}

    def says(asked: Asked) -> Answer:
        if TOKENS in asked.path:
            return 201, BODY, {"X-Subject-Token": f"token-{len(server.asked)}"}
        name = asked.body["task_id"]
        told[name] = told.get(name, 0) + 1
        return (401, {"error_code": "APIGW.0307", "error_msg": "x"}) if told[name] == 1 else (200, {"task_id": "new"})

    with account(loop, says) as (sender, server):
        found = [retry(loop, sender, f"t{n}") for n in range(MOST_LOGINS + 3)]
    assert logins(server) == MOST_LOGINS
    throttled = found[-1]
    assert isinstance(throttled, Throttled)
    assert throttled.whole_account
    assert throttled.wait_seconds is not None
    assert 0 < throttled.wait_seconds <= 60
    assert f"{MOST_LOGINS} logins within a minute" in throttled.message


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        (3600, 3600),
        (0, LEAST_SECONDS),
        (-5, LEAST_SECONDS),
        (nan, LEAST_SECONDS),
        (inf, MOST_SECONDS),
        (1e15, MOST_SECONDS),
        ("soon", LEAST_SECONDS),
        (None, LEAST_SECONDS),
    ],
)
def test_a_token_is_kept_for_a_minute_to_a_day(seconds: Any, kept: float) -> None:
    assert _seconds(Token("x", seconds)) == kept


def test_a_large_answer_to_a_login_is_read_beside_the_loop(loop: EventLoop) -> None:
    """With the catalog of all services it is; one without end is not received."""
    with account(loop, iam(body=BODY | {"catalog": ["x" * 100] * 1000})) as (sender, _):
        assert type(retry(loop, sender)) is Accepted
    with account(loop, iam(body=BODY | {"catalog": "x" * 300_000})) as (sender, _):
        assert isinstance(retry(loop, sender), Deferred)


def test_the_words_of_a_login_hold_no_secret(loop: EventLoop) -> None:
    says = iam(status=403, body={"error": {"code": 403, "message": f"no {PASSWORD} and {PASSWORD.encode().hex()}"}})
    with account(loop, says) as (sender, _):
        found = retry(loop, sender)
    assert isinstance(found, Blocked)
    assert found.message == "no *** and ***"


# --- What is remembered -------------------------------------------------------------------------------------------


def test_the_last_tokens_are_known_and_older_ones_forgotten() -> None:
    secrets = Secrets(["own"])
    for n in range(10):
        secrets.learn(f"token-{n}")
        secrets.learn(f"token-{n}")
    assert tuple(secrets) == ("own", "token-8", "token-9")
    assert len(secrets) == 1 + KEPT_TOKENS


def test_memory_stays_flat_over_two_thousand_logins(loop: EventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new token of seven thousand letters for every call, each repeated by the provider."""
    monkeypatch.setattr("redrive.worker.login.MOST_SECONDS", 0.0)
    monkeypatch.setattr("redrive.worker.login.LEAST_SECONDS", 0.0)
    monkeypatch.setattr(Login, "_too_many", lambda _: None)
    tokens = (f"{number:06d}" + "x7Yt" * 1750 for number in count(1))
    token = ""

    async def exchange(request: Request, **_: Any) -> Exchange:
        """Without sockets: two thousand of them take minutes."""
        nonlocal token
        if request.path == TOKENS:
            token = next(tokens)
            return Exchange(sent=True, answer=HttpAnswer(201, {"x-subject-token": token}, json.dumps(EXPIRED).encode()))
        body = {"error_code": "WKS.1", "error_msg": f"bad {token[:200]}"}
        return Exchange(sent=True, answer=HttpAnswer(400, {}, json.dumps(body).encode()))

    async def many(sender: Sender, times: int) -> None:
        for n in range(times):
            found = (await sender.retry(refs(f"t{n}"), make_window()))[1]
            assert isinstance(found, Already)
            assert "x7Yt" not in found.message

    with account(loop, iam()) as (sender, _):
        monkeypatch.setattr(sender._client, "exchange", exchange)
        loop.submit(many(sender, 1000)).result(60)
        gc.collect()
        tracemalloc.start()
        loop.submit(many(sender, 1000)).result(60)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert next(tokens).startswith("002001")
    assert grown < 16 * 1024 * 1024
