"""What the benchmark measures by: its provider answers as the real ones would, and its figures mean what they say."""

import json
from math import nan
from typing import Any
from urllib.parse import urlencode

import pytest

from benchmarks.moments import Granted, lateness
from benchmarks.provider import Provider, Runs
from benchmarks.statements import LINE, NOT_STATEMENTS
from benchmarks.tables import shown
from redrive.models.outcome import Accepted, Reading, State
from redrive.worker.providers import load
from redrive.worker.providers.base import Account, Answer, Call, Exchange, TaskRef

ACCOUNTS: dict[str, tuple[str, dict[str, Any]]] = {
    "geelark": ("", {"token": "secret-of-busy1"}),
    "docflow": ("review_task", {"app_id": "secret-of-busy1", "secret_code": "s", "workspace_id": "1"}),
    "huawei_workspace": ("task", {"region": "r", "project_id": "bench", "auth_token": "secret-of-busy1"}),
}


def asked(provider: Provider, call: Call) -> Exchange:
    """The call's exchange with the benchmark's provider, without a network."""
    request = call.request
    target = request.path + (f"?{urlencode(request.query)}" if request.query else "")
    head = f"{request.method} {target} HTTP/1.1\r\nWhose: secret-of-busy1"
    body = b"" if request.json is None else json.dumps(request.json).encode()
    content = provider.answer(head.encode(), body)
    assert content is not None, target
    return Exchange(sent=True, answer=Answer(200, {}, content))


@pytest.mark.parametrize("name", ACCOUNTS)
def test_the_provider_accepts_a_retry_and_shows_its_success(name: str) -> None:
    """Each API is answered as the real one would, and each call noted with its account and its id."""
    kind, options = ACCOUNTS[name]
    ours = load(name)(Account("busy1", "http://localhost", options))
    theirs, task = Provider(Runs(0), journal=True), TaskRef(1, kind, "591")
    (retry,), (check,) = ours.retries([task]).calls, ours.checks([task]).calls
    assert isinstance(ours.outcomes(retry, asked(theirs, retry))[1], Accepted)
    reading = ours.results(check, asked(theirs, check)).results[1]
    assert isinstance(reading, Reading)
    assert reading.state is State.SUCCEEDED
    assert [(account, ids) for _, account, _, ids in theirs.calls] == [("busy1", ["591"])] * 2


def test_a_task_runs_on_for_a_while_where_asked() -> None:
    """A retried task is not over at once, one that was never retried is."""
    runs = Runs(60)
    runs.begin(["1"])
    assert (runs.over("1"), runs.over("2")) == (False, True)


@pytest.mark.parametrize(
    ("granted", "arrived", "late"),
    [
        pytest.param([Granted(11.0, ["a"])], {"a": 10.25}, [0.25], id="one"),
        pytest.param([Granted(12.0, ["a", "b"])], {"a": 11.5, "b": 10.25}, [0.25, 0.5], id="two at once"),
        pytest.param([Granted(11.0, ["a"]), Granted(21.0, ["b"])], {"b": 20.0}, [0.0], id="one not called"),
        pytest.param([Granted(12.0, ["a", "b"])], {"a": 10.0}, [], id="not all called"),
    ],
)
def test_lateness_is_from_the_moment_to_the_arrival(
    granted: list[Granted], arrived: dict[str, float], late: list[float]
) -> None:
    """Permits of one transaction lie an interval apart, the last an interval before the path's next moment."""
    assert lateness(granted, arrived, interval=1.0) == pytest.approx(late)


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("SELECT|LOG:  duration: 0.1 ms", True),
        ("CREATE TABLE|LOG:  duration: 0.1 ms", True),
        ("PARSE|LOG:  duration: 0.1 ms", False),
        ("BIND|LOG:  duration: 0.1 ms", False),
        ("BEGIN|LOG:  duration: 0.1 ms", False),
        ("COMMIT|LOG:  duration: 0.1 ms", False),
        ('|LOG:  parameter "log_duration" changed to "on"', False),
        ("SELECT|ERROR:  no such thing as LOG:  duration: 0.1 ms", False),
    ],
)
def test_only_the_end_of_statements_counts(line: str, counts: bool) -> None:  # noqa: FBT001 - a column of the table
    """Preparing one, a transaction's borders and other lines of the log do not."""
    found = [tag for tag in LINE.findall(f"{line}\n{line}\n") if tag not in NOT_STATEMENTS]
    assert len(found) == (2 if counts else 0)


@pytest.mark.parametrize(("value", "text"), [(nan, "-"), (0.0, "0.0000"), (1234.5, "1,234"), (2.345, "2.35"), (7, "7")])
def test_figures_have_as_many_digits_as_mean_something(value: float, text: str) -> None:
    """What is not a number is a dash."""
    assert shown(value) == text
