from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.outcome import Accepted, Reading, Throttled
from redrive.worker.providers.base import Answer, CheckResults, Provider, TaskRef
from redrive.worker.providers.waits import FAMILIES, rate_hint
from tests.unit.providers.exchanges import answered, docflow, geelark, huawei, only, task

NOW = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
DATE = {"date": format_datetime(NOW, usegmt=True)}
EPOCH = int(NOW.timestamp())


def hint(**headers: object) -> float | None:
    """Of an answer whose clock shows a moment years from ours."""
    named = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    return rate_hint(Answer(200, {**DATE, **named}, b"{}"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('"default";r=0;t=30', 30),
        ('"default";r=50;t=30', None),
        ('"default";r=4;t=30', 6),
        ('"default"; R=0 ;\tT=30', 30),
        ('"default";t=30;r=0;pk=:cGFydGl0aW9u:', 30),
        ('"a;r=5,b";r=0;t=7', 7),
        ('"a\\",\\"";r=0;t=7', 7),
        ('"burst";r=9;t=1, "daily";r=0;t=3600', 3600),
        ('"burst";r=0;t=1, "daily";r=0;t=3600', 3600),
        ("token;r=0;t=30", 30),
        ('"default";r=0;t=9999999', 86_400),
        ('"default";r=0;t=0', None),
        ('"default";r=0', None),
        ('"default";t=30', None),
        ("limit=100, remaining=0, reset=30", 30),
        ("limit=100,remaining=4,reset=30", 6),
        ("limit=100, remaining=11, reset=30", None),
        ("remaining=0", None),
    ],
)
def test_the_ratelimit_field(value: str, expected: float | None) -> None:
    """As a list of policies and as the dictionary it was before; the strictest policy counts."""
    assert hint(ratelimit=value) == expected


@pytest.mark.parametrize(
    ("value", "policy", "expected"),
    [
        ('"default";r=0', '"default";q=100;w=60', 60),
        ('"default";r=0;t=5', '"default";q=100;w=60', 5),
        ('"default";r=10;t=55', '"default";q=100;w=60', 5),
        ('"default";r=11;t=55', '"default";q=100;w=60', None),
        ('"a";r=0, "b";r=9', '"b";q=10;w=60, "a";q=10;w=30', 30),
        ('"default";r=0', '"other";q=100;w=60', None),
        ("", '"default";q=0;w=60', None),
    ],
)
def test_a_policy_names_limit_and_window(value: str, policy: str, expected: float | None) -> None:
    """What a limit leaves is little when it is a tenth of it; a window alone says nothing of what is left."""
    assert hint(ratelimit=value, ratelimit_policy=policy) == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("limit", "remaining", "reset", "expected"),
    [
        ("60", "0", "30", 30),
        ("60", "5", "30", 5),
        ("60", "6", "30", 30 / 7),
        ("60", "7", "30", None),
        ("5000", "499", "500", 1),
        ("60, 60;w=60", "1", "30", 15),
        ("", "0", "30", 30),
        ("", "6", "30", None),
        ("60", "0", "1.5", 1.5),
        ("60", "0", EPOCH + 90, 90),
        ("60", "2", EPOCH + 90, 30),
        ("60", "0", (EPOCH + 90) * 1000, 90),
        ("60", "0", format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90),
        ("60", "0", EPOCH - 90, None),
        ("60", "0", EPOCH, None),
        ("60", "0", EPOCH + 10**8, 86_400),
        ("60", "0", "999999", 86_400),
        ("60", "0", "0", None),
        ("60", "0", "-30", None),
        ("60", "0", "soon", None),
        ("60", "0", "nan", None),
        ("60", "0", "1e3", None),
        ("60", "0", "9" * 17, None),
        ("60", "0", "9" * 18, None),
        ("60", "0", "9" * 40, None),
        ("60", "0", "", None),
        ("60", "-1", "30", None),
        ("60", "none", "30", None),
        ("60", "0, 0", "30", None),
        ("many", "0", "30", 30),
    ],
)
def test_three_headers(family: str, limit: object, remaining: object, reset: object, expected: float | None) -> None:
    """The reset is a number of seconds, or a moment by the server's clock; what is nonsense does not count."""
    headers = {
        f"{family}{name}": str(value)
        for name, value in zip(("limit", "remaining", "reset"), (limit, remaining, reset), strict=True)
    }
    found = rate_hint(Answer(200, {**DATE, **headers}, b"{}"))
    assert found == (None if expected is None else pytest.approx(expected))


def test_without_the_servers_clock_ours_counts() -> None:
    """There is no other."""
    reset = str(int(datetime.now(UTC).timestamp()) + 300)
    found = rate_hint(Answer(200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": reset}, b""))
    assert found == pytest.approx(300, abs=5)


def test_no_header_no_hint() -> None:
    """As most answers are."""
    assert hint() is None
    assert hint(retry_after="30") is None
    assert hint(x_ratelimit_limit="60", x_ratelimit_reset="30") is None


NAMES = [
    "date",
    "ratelimit",
    "ratelimit-policy",
    *(f"{family}{name}" for family in FAMILIES for name in ("limit", "remaining", "reset")),
]
PIECES = [
    '"',
    "\\",
    ";",
    ",",
    "=",
    " ",
    "r=0",
    "r=-1",
    "t=30",
    "q=5",
    "w=9",
    "remaining=0",
    "reset=7",
    "limit=1",
    '"a"',
]
VALUES = (
    st.text(max_size=40)
    | st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
    | st.integers().map(str)
    | st.floats().map(str)
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_any_header_is_a_wait_of_at_most_a_day_or_none(headers: dict[str, str]) -> None:
    """And never an exception."""
    found = rate_hint(Answer(200, headers, b""))
    assert found is None or 0 < found <= 86_400


@pytest.mark.parametrize("value", ['"' * 100_000, '"a' * 50_000, ";r=0" * 50_000, "," * 100_000, "\\" * 100_000])
def test_headers_without_end_take_no_time(value: str) -> None:
    """Only their beginning is read."""
    assert hint(ratelimit=value, ratelimit_policy=value, x_ratelimit_remaining=value) is None


# --- what carries it ---------------------------------------------------------------------------------------------

ASKED: list[tuple[Provider, TaskRef, object, object]] = [
    (
        geelark(),
        task("1"),
        {"code": 0, "msg": ""},
        {"code": 0, "msg": "", "data": {"items": [{"id": "1", "status": 2}]}},
    ),
    (
        huawei(),
        task("1", "task"),
        {"task_id": "2"},
        {"count": 1, "script_records": [{"id": "1", "status": "RUNNING"}]},
    ),
    (
        docflow(),
        task("1", "review_task"),
        {"code": 200, "msg": ""},
        {"code": 200, "msg": "", "result": {"status": 3}},
    ),
]


@pytest.mark.parametrize(("provider", "one", "yes", "state"), ASKED, ids=["geelark", "huawei", "docflow"])
def test_every_answer_carries_what_its_headers_ask(
    provider: Provider, one: TaskRef, yes: object, state: object
) -> None:
    """Retries and checks, good ones and bad ones, without any other meaning than before."""
    for pace, headers in ((None, {}), (30.0, {"ratelimit": '"default";r=0;t=30'})):
        retried = provider.outcomes(only(provider.retries([one])), answered(yes, **headers))
        assert isinstance(retried, dict)
        assert isinstance(retried[one.id], Accepted)
        looked = provider.results(only(provider.checks([one])), answered(state, **headers))
        assert isinstance(looked, CheckResults)
        assert isinstance(looked.results[one.id], Reading)
        refused = provider.outcomes(only(provider.retries([one])), answered(b"", 429, retry_after="7", **headers))
        assert isinstance(refused, dict)
        assert isinstance(refused[one.id], Throttled)
        found = [retried[one.id], looked.results[one.id], refused[one.id]]
        assert [each.pace for each in found] == [pace] * 3
