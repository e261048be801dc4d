"""The sender over real sockets: logins, permits of its own for every call, halves, pages, and providers that fail."""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from redrive.models.clock import utc_now
from redrive.models.ledger import permits
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    Deferred,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unsent,
)
from redrive.models.sql.tables import limits
from redrive.sandbox.server import SandboxThread
from redrive.worker.providers.base import CheckResults, Plan
from redrive.worker.providers.geelark import GeeLark
from redrive.worker.providers.huawei_workspace import HuaweiWorkspace
from tests.support.site import PASSWORD, RETRY, TOKENS, Site, make_window, refs
from tests.support.tiny import Answer, Asked, tiny

TOKEN = "MIIF" + "x7Yt" * 50


def calls(sandbox: SandboxThread, ending: str) -> int:
    return sum(n for path, n in sandbox.stats()["calls"].items() if path.endswith(ending))


def login(_: Asked) -> Answer:
    return 201, {"token": {}}, {"X-Subject-Token": TOKEN}


# --- Logins ---------------------------------------------------------------------------------------------------------


def test_one_login_serves_many_calls_and_has_a_permit_of_its_own(ours: Site, sandbox: SandboxThread) -> None:
    """The token is kept; its call is named, so that it is counted, and moved its own path's next moment."""
    first, second = make_window(), make_window()
    assert ours.retry("desktops", refs("t1"), first).keys() == {1}
    found = ours.retry("desktops", refs("t2"), second)
    assert isinstance(found[1], Accepted)
    assert (calls(sandbox, "tokens"), calls(sandbox, "retry")) == (1, 2)
    assert (first.calls, second.calls) == ([TOKENS], [])
    assert ours.world.limit(TOKENS, "desktops")["next_at"] is not None


def test_calls_at_the_same_time_log_in_once(ours: Site, sandbox: SandboxThread) -> None:
    """Those that come while somebody logs in wait for the token."""
    sender, loop = ours.sender("desktops"), ours.deps.loop
    futures = [loop.submit(sender.retry(refs(f"t{n}"), make_window())) for n in range(4)]
    assert all(isinstance(future.result(10)[1], Accepted) for future in futures)
    assert calls(sandbox, "tokens") == 1


def test_without_a_permit_to_log_in_nothing_is_sent(ours: Site, sandbox: SandboxThread) -> None:
    """A penalty on the login's path holds: the tasks go back unspent."""
    with ours.world.begin() as t:
        permits.penalize(t, ours.deps.rules["desktops"], [(TOKENS, Throttled(wait_seconds=60))])
    assert isinstance(ours.retry("desktops", refs("t1"))[1], Unsent)
    assert sandbox.stats()["calls"] == {}


def test_a_token_that_is_refused_is_renewed_once_and_the_call_made_again(ours: Site, sandbox: SandboxThread) -> None:
    """The call made again has a permit of its own, and so has the login before it."""
    ours.retry("desktops", refs("t1"))
    sandbox.fault("/v2/*/retry", "status", status=401, body={"error_code": "APIGW.0301", "error_msg": "no"}, count=1)
    window = make_window()
    assert isinstance(ours.retry("desktops", refs("t2"), window)[1], Accepted)
    assert (calls(sandbox, "tokens"), calls(sandbox, "retry")) == (2, 3)
    assert sorted(window.calls) == [RETRY, TOKENS]


def test_a_second_refusal_is_about_the_credentials(ours: Site, sandbox: SandboxThread) -> None:
    """Fresh token, refused all the same: blocked, with no third try."""
    ours.retry("desktops", refs("t1"))
    sandbox.fault("/v2/*/retry", "status", status=401, body={"error_code": "APIGW.0301", "error_msg": "no"})
    found = ours.retry("desktops", refs("t2"))[1]
    assert isinstance(found, Blocked)
    assert found.cause is Cause.CREDENTIALS
    assert (calls(sandbox, "tokens"), calls(sandbox, "retry")) == (2, 3)


def test_an_old_token_without_a_permit_to_renew_it_blames_nobody(ours: Site, sandbox: SandboxThread) -> None:
    """The account is not paused for a token that merely grew old."""
    ours.retry("desktops", refs("t1"))
    sandbox.fault("/v2/*/retry", "status", status=401, body={"error_code": "APIGW.0307", "error_msg": "renew it"})
    with ours.world.begin() as t:
        permits.penalize(t, ours.deps.rules["desktops"], [(RETRY, Throttled(wait_seconds=60))])
    assert isinstance(ours.retry("desktops", refs("t2"))[1], Unsent)
    assert calls(sandbox, "tokens") == 1


def test_a_refusal_that_comes_late_does_not_throw_the_new_token_away(at: Callable[..., Any]) -> None:
    """Two calls with one old token, one told so after the other has renewed it: one login serves both."""
    renewed = threading.Event()

    def answer(asked: Asked) -> Answer:
        logins = sum(TOKENS in path for path in server.paths())
        if TOKENS in asked.path:
            return 201, {"token": {}}, {"X-Subject-Token": f"token-{logins}"}
        if asked.headers["X-Auth-Token"] == "token-2":
            renewed.set()
        elif len(server.asked) > 2:  # the very first call found its token good
            if asked.body["task_id"] == "late":
                assert renewed.wait(1.5)
            return 401, {"error_code": "APIGW.0307", "error_msg": "The token must be updated"}
        return 200, {"task_id": "new"}

    with tiny(answer) as server, at(server.url) as ours:
        ours.retry("desktops", refs("first"))
        sender, loop = ours.sender("desktops"), ours.deps.loop
        futures = [loop.submit(sender.retry(refs(name), make_window())) for name in ("late", "early")]
        assert all(isinstance(future.result(10)[1], Accepted) for future in futures)
    assert sum(TOKENS in path for path in server.paths()) == 2


def test_a_refused_login_blocks_the_account_and_the_task_is_not_sent(
    at: Callable[..., Any], sandbox: SandboxThread
) -> None:
    """A wrong password is about the account; the retry path sees nothing."""
    with at(sandbox.url, environ={"HW_IAM_PASSWORD": "wrong"}) as ours:
        found = ours.retry("desktops", refs("t1"))[1]
    assert isinstance(found, Blocked)
    assert found.cause is Cause.CREDENTIALS
    assert (calls(sandbox, "tokens"), calls(sandbox, "retry")) == (1, 0)


def test_a_throttled_login_holds_back_the_whole_account(ours: Site, sandbox: SandboxThread) -> None:
    """Retries and checks share the login: neither may ask again before the wait is over."""
    sandbox.fault(TOKENS, "retry_after", seconds=9)
    found = ours.retry("desktops", refs("t1"))[1]
    assert isinstance(found, Throttled)
    assert (found.whole_account, found.wait_seconds) == (True, 9)


def test_the_token_and_the_password_are_struck_from_what_is_kept(at: Callable[..., Any]) -> None:
    """A provider that repeats what it was sent does not bring it into our rows."""

    def answer(asked: Asked) -> Answer:
        if TOKENS in asked.path:
            return login(asked)
        words = f"you sent {asked.headers['X-Auth-Token']} and {PASSWORD}"
        return 400, {"error_code": "WKS.1", "error_msg": words}

    with tiny(answer) as server, at(server.url) as ours:
        found = ours.retry("desktops", refs("t1"))[1]
    assert isinstance(found, Already)
    assert found.message == "you sent *** and ***"


# --- Halves ---------------------------------------------------------------------------------------------------------


def poisoned(*bad: str, code: int = 40004) -> Callable[[Asked], Answer]:
    """GeeLark that refuses a call as a whole for one bad id."""

    def answer(asked: Asked) -> Answer:
        spoiled = bool(set(bad) & set(asked.body["ids"]))
        return 200, {"code": code if spoiled else 0, "msg": "bad" if spoiled else "success", "data": {}}

    return answer


@pytest.mark.parametrize("code", [40001, 40004])
def test_a_poisoned_id_dies_alone(at: Callable[..., Any], code: int) -> None:
    """Sixteen ids, one bad: halved, with a permit for every call beyond the first, until it stands alone."""
    ids = [f"59{n:02d}" for n in range(16)]
    with tiny(poisoned("5905", code=code)) as server, at(server.url) as ours:
        window = make_window()
        found = ours.retry("phones", refs(*ids, kind=""), window)
    dead = {ids[task_id - 1] for task_id, outcome in found.items() if isinstance(outcome, Refused)}
    assert dead == {"5905"}
    assert sum(isinstance(outcome, Accepted) for outcome in found.values()) == 15
    assert len(server.asked) == 9, "1, then two halves at each of four levels"
    assert window.calls == ["/open/v1/task/restart"] * 8
    accepted = [each for asked in server.asked if "5905" not in asked.body["ids"] for each in asked.body["ids"]]
    assert sorted(accepted) == sorted(set(ids) - {"5905"}), "no id is asked for again once it was taken"


def test_halves_keep_the_pace_of_their_path(at: Callable[..., Any]) -> None:
    """Each permit is a moment: the calls leave an interval apart, also those that nobody planned."""
    pace = {"[accounts.phones.limits]\ncalls_per_minute = 60000": "[accounts.phones.limits]\ncalls_per_minute = 240"}
    with tiny(poisoned("2")) as server, at(server.url, change=pace) as ours:
        with ours.world.begin() as t:
            permits.take(t, ours.deps.rules["phones"], {"/open/v1/task/restart": 1}, utc_now() + timedelta(seconds=9))
        ours.retry("phones", refs("1", "2", "3", "4", kind=""))
    gaps = [b.at - a.at for a, b in zip(server.asked[1:], server.asked[2:], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) > 0.2


def test_no_half_is_asked_for_once_the_provider_says_stop(at: Callable[..., Any]) -> None:
    """Throttled in the middle of a search: the rest is left unsent, a further call could lock the account."""

    def answer(asked: Asked) -> Answer:
        return 200, {"code": 40004 if len(asked.body["ids"]) == 4 else 40007, "msg": ""}

    with tiny(answer) as server, at(server.url) as ours:
        found = ours.retry("phones", refs("1", "2", "3", "4", kind=""))
    assert [type(found[n]) for n in (1, 2, 3, 4)] == [Throttled, Throttled, Unsent, Unsent]
    assert len(server.asked) == 2


def test_no_half_is_asked_for_once_the_worker_shall_stop(at: Callable[..., Any]) -> None:
    """A drain in the middle of a search: what is not sent goes back."""
    with tiny(poisoned("1")) as server, at(server.url) as ours:
        window = make_window(may_go_on=lambda: not server.asked)
        found = ours.retry("phones", refs("1", "2", kind=""), window)
    assert [type(found[n]) for n in (1, 2)] == [Unsent, Unsent]
    assert len(server.asked) == 1
    assert window.calls == [], "nor is a permit taken for what will not leave"


# --- Pages ----------------------------------------------------------------------------------------------------------


def record_pages(total: int) -> Callable[[Asked], Answer]:
    """Huawei with that many records, a hundred to a page; only the last has failed."""

    def answer(asked: Asked) -> Answer:
        if TOKENS in asked.path:
            return login(asked)
        offset = int(httpx.URL(asked.path).params["offset"])
        numbers = range(offset, min(offset + 100, total))
        records = [{"id": f"r{n:03d}", "status": "FAILED" if n == total - 1 else "SUCCESS"} for n in numbers]
        return 200, {"count": total, "script_records": records}

    return answer


def test_all_pages_are_read_each_with_its_permit(at: Callable[..., Any]) -> None:
    """The failed record stands on the third page."""
    with tiny(record_pages(250)) as server, at(server.url) as ours:
        window = make_window()
        found = ours.check("desktops", refs("t1"), window)[1]
    assert isinstance(found, Reading)
    assert found.state is State.FAILED
    assert [path.partition("offset=")[2] for path in server.paths()[1:]] == ["0", "100", "200"]
    assert window.calls == [TOKENS, "/script-execution-records", "/script-execution-records"]


def test_pages_that_do_not_fit_the_lease_leave_the_task_unread(at: Callable[..., Any]) -> None:
    """Half a list proves nothing, and no permit is taken for a moment past the lease."""
    slow = {"[accounts.desktops.limits]\ncalls_per_minute = 60000": "[accounts.desktops.limits]\ncalls_per_minute = 20"}
    with tiny(record_pages(250)) as server, at(server.url, change=slow) as ours:
        path, window = "/script-execution-records", make_window(seconds=2.5)
        with ours.world.begin() as t:
            moment = permits.take(t, ours.deps.rules["desktops"], {path: 1}, utc_now() + timedelta(seconds=1))[path][0]
        found = ours.check("desktops", refs("t1"), window)[1]
        assert isinstance(found, Unsent)
        assert len(server.asked) == 2
        assert ours.world.limit(path, "desktops")["next_at"] == moment + timedelta(seconds=62 / 20)


# --- When a call may leave -------------------------------------------------------------------------------------------


def test_a_call_past_its_grace_is_not_sent(ours: Site, sandbox: SandboxThread) -> None:
    """It would crowd the calls that leave on time."""
    found = ours.retry("phones", refs("1", kind=""), make_window(leave_in=-2.5))
    assert isinstance(found[1], Unsent)
    assert sandbox.stats()["calls"] == {}


def test_a_call_a_little_late_is_sent(ours: Site) -> None:
    """The grace is for commits and connections that take a moment."""
    assert isinstance(ours.retry("phones", refs("1", kind=""), make_window(leave_in=-0.5))[1], Accepted)


def test_a_call_waits_for_its_moment(at: Callable[..., Any]) -> None:
    with tiny(poisoned()) as server, at(server.url) as ours:
        window = make_window(leave_in=0.4)
        ours.retry("phones", refs("1", kind=""), window)
    assert window.leave_after <= server.asked[0].at < window.leave_after + 1


def test_a_further_call_waits_out_a_penalty_that_comes_while_it_waits(at: Callable[..., Any]) -> None:
    """Its permit is taken late: one taken long before its moment would hold against what was learned since."""
    path = limits.c.path == "/open/v1/task/restart"

    def elsewhere() -> None:
        with ours.world.begin() as t:
            t.execute(update(limits).where(path).values(blocked_until=utc_now() + timedelta(seconds=2)))

    with tiny(poisoned("1")) as server, at(server.url) as ours:
        with ours.world.begin() as t:
            permits.take(t, ours.world.rules["phones"], {"/open/v1/task/restart": 1}, t.now + timedelta(seconds=9))
            t.execute(update(limits).where(path).values(next_at=utc_now() + timedelta(seconds=1.4)))
        timer = threading.Timer(0.3, elsewhere)
        timer.start()
        ours.retry("phones", refs("1", "2", kind=""))
        timer.join()
    assert server.asked[1].at - server.asked[0].at > 2


def test_a_provider_too_slow_to_connect_to_fails(at: Callable[..., Any]) -> None:
    """Otherwise its calls would be unsent, and tried again at once, for ever."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, ExitStack() as stack:
        address = server.getsockname()
        # A full queue: the next one is let in when the system asks again, after a second and after two more.
        filling = stack.enter_context(socket.create_connection(address))
        room = threading.Timer(1.5, lambda: [server.accept()[0].close(), filling.close()])
        patient = {"timeout_seconds = 2\n": "timeout_seconds = 8\n"}
        ours = stack.enter_context(at(f"http://{address[0]}:{address[1]}", change=patient))
        room.start()
        found = ours.retry("phones", refs("1", kind=""), make_window())
        room.join()
    assert found[1] == Deferred(message="not sent: connecting took too long for its permit")


def test_a_call_that_would_outlive_the_lease_is_not_sent(ours: Site, sandbox: SandboxThread) -> None:
    found = ours.retry("phones", refs("1", kind=""), make_window(leave_in=0.6, seconds=0.3))
    assert isinstance(found[1], Unsent)
    assert sandbox.stats()["calls"] == {}


def test_a_database_that_is_away_grants_no_permit(at: Callable[..., Any]) -> None:
    """A call that nobody could count is not made."""
    with tiny(poisoned("1")) as server, at(server.url) as ours:
        with ours.world.begin() as t:
            t.connection.exec_driver_sql("ALTER TABLE redrive_limits RENAME TO elsewhere")
        found = ours.retry("phones", refs("1", "2", kind=""))
    assert [type(found[n]) for n in (1, 2)] == [Unsent, Unsent]
    assert len(server.asked) == 1


# --- Somebody else's provider ---------------------------------------------------------------------------------------


class OursError(Exception):
    """What a provider should never raise."""


def fails(*_: object) -> Any:
    raise OursError(f"with {PASSWORD} in its words")


def with_provider(ours: Site, account: str, base: type[Any], **methods: Callable[..., Any]) -> None:
    """Give the account a provider some of whose methods are these."""
    sender = ours.sender(account)
    provider = object.__new__(type("Broken", (base,), {name: staticmethod(f) for name, f in methods.items()}))
    provider.__dict__.update(vars(sender.provider))
    sender.provider = sender._login._provider = provider


@pytest.mark.parametrize(
    ("methods", "sent", "expected"),
    [
        pytest.param({"retries": fails}, 0, Deferred, id="plan"),
        pytest.param({"retries": lambda _: Plan(())}, 0, Deferred, id="forgets them"),
        pytest.param({"retries": lambda _: None}, 0, Deferred, id="plans nonsense"),
        pytest.param({"auth": fails}, 0, Deferred, id="auth"),
        pytest.param({"outcomes": fails}, 1, Unknown, id="outcomes"),
        pytest.param({"outcomes": lambda *_: {}}, 1, Unknown, id="no outcomes"),
        pytest.param({"outcomes": lambda *_: None}, 1, Unknown, id="nonsense"),
        pytest.param({"outcomes": lambda *_: {1: "ok", 2: Reading(state=State.RUNNING)}}, 1, Unknown, id="no outcome"),
        pytest.param(
            {"outcomes": lambda *_: {1: Already(code=5), 2: Already(message=None)}},  # type: ignore[arg-type]
            1,
            Unknown,
            id="no text",
        ),
    ],
)
def test_a_provider_that_fails_loses_no_task(
    ours: Site, sandbox: SandboxThread, methods: Mapping[str, Callable[..., Any]], sent: int, expected: type[Outcome]
) -> None:
    """Deferred where nothing left, unknown where something did."""
    with_provider(ours, "phones", GeeLark, **methods)
    found = ours.retry("phones", refs("1", "2", kind=""))
    assert {task_id: type(outcome) for task_id, outcome in found.items()} == dict.fromkeys((1, 2), expected)
    assert calls(sandbox, "restart") == sent


def test_a_defect_is_logged_without_what_it_held(at: Callable[..., Any], sandbox: SandboxThread) -> None:
    """Words of an exception may hold a secret, and so may the variables of its traceback."""
    with at(sandbox.url) as ours, capture_logs() as logs:
        with_provider(ours, "desktops", HuaweiWorkspace, outcomes=fails)
        assert isinstance(ours.retry("desktops", refs("t1"))[1], Unknown)
    assert [line["event"] for line in logs] == ["provider.defect"]
    assert PASSWORD not in repr(logs)
    assert "exc_info" not in logs[0]
    assert logs[0]["error"] == "OursError: with *** in its words"


@pytest.mark.parametrize("method", ["login", "token"])
def test_a_login_that_fails_in_the_providers_code_sends_no_retry(
    ours: Site, sandbox: SandboxThread, method: str
) -> None:
    with_provider(ours, "desktops", HuaweiWorkspace, **{method: fails})
    assert isinstance(ours.retry("desktops", refs("t1"))[1], Deferred)
    assert calls(sandbox, "retry") == 0


@pytest.mark.parametrize("results", [fails, lambda *_: None, lambda *_: CheckResults({})])
def test_checks_that_fail_are_checks_without_an_answer(ours: Site, results: Callable[..., Any]) -> None:
    with_provider(ours, "phones", GeeLark, results=results)
    assert isinstance(ours.check("phones", refs("1", kind=""))[1], Unknown)
