import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Unreadable,
    Unsent,
)
from redrive.models.states import DeadReason
from redrive.worker.providers.base import Answer, Exchange
from redrive.worker.providers.http_answers import (
    as_check_result,
    by_status,
    fields,
    filled,
    items,
    line,
    number,
    read_json,
    retry_after,
    said,
    short_mark,
    text,
    unanswered,
)


def of_status(status: int, *, own_format: bool = False, of_task: bool = False, **headers: str) -> Outcome:
    answer = Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")
    return by_status(answer, said(answer, "C", "words"), own_format=own_format, of_task=of_task)


# --- nothing came back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "withheld", "expected"),
    [(False, True, Unsent), (False, False, Deferred), (True, False, Unknown), (True, True, Unknown)],
)
def test_without_an_answer_only_bytes_count(sent: bool, withheld: bool, expected: type[Outcome]) -> None:  # noqa: FBT001
    """What never left cannot have happened; what left may have."""
    found = unanswered(Exchange(sent=sent, withheld=withheld, error="connect: refused"))
    assert found == expected(message="connect: refused")


# --- by status ---------------------------------------------------------------------------------------------------

WORDS = {"code": "C", "message": "words"}
STATUSES: dict[int, Outcome] = {
    100: Unknown(),
    102: Unknown(),
    199: Unknown(),
    200: Unknown(),
    201: Unknown(),
    204: Unknown(),
    299: Unknown(),
    300: Blocked(cause=Cause.ADDRESS),
    302: Blocked(cause=Cause.ADDRESS),
    304: Blocked(cause=Cause.ADDRESS),
    399: Blocked(cause=Cause.ADDRESS),
    400: Already(),
    401: Blocked(cause=Cause.CREDENTIALS),
    402: Already(),
    403: Already(forbidden=True),
    404: Blocked(cause=Cause.ADDRESS),
    405: Blocked(cause=Cause.ADDRESS),
    406: Already(),
    408: Unknown(),
    409: Already(),
    410: Already(),
    422: Already(),
    423: Unknown(),
    429: Throttled(),
    499: Already(),
    500: Unknown(),
    502: Unknown(),
    503: Unknown(),
    504: Unknown(),
    599: Unknown(),
    600: Unknown(),
    900: Unknown(),
    999: Unknown(),
}


@pytest.mark.parametrize("own_format", [False, True])
@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_status_decides(status: int, expected: Outcome, *, own_format: bool) -> None:
    """Each status by itself, with the answer's words and, for a wrong address, the remedy."""
    message = "check base_url: words" if expected == Blocked(cause=Cause.ADDRESS) else "words"
    words = {"http_status": status, "code": "C", "message": message}
    template = Unknown(answered=own_format) if isinstance(expected, Unknown) else expected
    assert of_status(status, own_format=own_format) == replace(template, **words)


def test_404_in_the_providers_own_words_is_about_the_task() -> None:
    """A 405 never is: no task has a method."""
    assert of_status(404, of_task=True) == Refused(reason=DeadReason.NOT_FOUND, http_status=404, **WORDS)
    assert of_status(405, of_task=True) == of_status(405)


# --- Retry-After -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0),
        ("17", 17),
        (" 17 ", 17),
        ("1.5", 1.5),
        ("86400", 86_400),
        ("86401", 86_400),
        ("9" * 400, 86_400),
        ("-5", None),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
        ("\u0661\u0667", None),
        ("17 seconds", None),
    ],
)
def test_retry_after_seconds(value: str, expected: float | None) -> None:
    """Clamped to a day; nonsense counts as not given."""
    assert retry_after(Answer(429, {"retry-after": value}, b"")) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(90, 90), (0, 0), (-3600, 0), (10 * 86_400, 86_400)])
def test_retry_after_dates_count_on_the_servers_clock(seconds: float, expected: float) -> None:
    """The server's own Date is what its moment is compared with, however wrong our clock is."""
    now = datetime(2031, 5, 4, 3, 2, 1, tzinfo=UTC)
    until = format_datetime(now + timedelta(seconds=seconds), usegmt=True)
    headers = {"retry-after": until, "date": format_datetime(now, usegmt=True)}
    assert retry_after(Answer(429, headers, b"")) == expected


@pytest.mark.parametrize("date", [{}, {"date": "nonsense"}])
def test_retry_after_dates_fall_back_to_our_clock(date: dict[str, str]) -> None:
    """Where the server does not tell its time."""
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=300), usegmt=True)
    assert retry_after(Answer(429, {"retry-after": until, **date}, b"")) == pytest.approx(299, abs=3)


def test_retry_after_without_a_zone_is_utc() -> None:
    """As HTTP dates are."""
    headers = {"retry-after": "Sun, 04 May 2031 03:03:01 -0000", "date": "Sun, 04 May 2031 03:02:01 GMT"}
    assert retry_after(Answer(429, headers, b"")) == 60


@given(st.text())
def test_retry_after_never_raises(value: str) -> None:
    """Whatever a header holds, it is a wait of at most a day or none."""
    found = retry_after(Answer(429, {"retry-after": value, "date": value}, b""))
    assert found is None or 0 <= found <= 86_400


def test_filling_a_row() -> None:
    """The answer's own wait wins over the table's, and the table's hint stands before the answer's words."""
    words = said(Answer(429, {}, b""), 7, "slow down")
    row = Throttled(wait_seconds=60, message="hint")
    expected = {"http_status": 429, "code": "7", "message": "hint: slow down"}
    assert filled(row, Answer(429, {}, b""), words) == Throttled(wait_seconds=60, **expected)
    assert filled(row, Answer(429, {"retry-after": "5"}, b""), words) == Throttled(wait_seconds=5, **expected)


def test_a_wait_of_zero_is_no_wait() -> None:
    """The table's own stays, and where it has none the ledger's, which grows: else we would ask at once for ever."""
    words = said(Answer(429, {}, b""), 7, "slow down")
    for value in ("0", "0.0", format_datetime(datetime(2001, 1, 1, tzinfo=UTC), usegmt=True)):
        answer = Answer(429, {"retry-after": value}, b"")
        assert filled(Throttled(wait_seconds=60), answer, words) == Throttled(wait_seconds=60, **words)
        assert filled(Throttled(), answer, words) == Throttled(**words)


def test_an_answer_that_proves_nothing_may_name_a_wait() -> None:
    """A 503 may hide a retry that was applied, and yet be meant."""
    assert of_status(503, retry_after="5") == Unknown(wait_seconds=5, http_status=503, **WORDS)


# --- looks -------------------------------------------------------------------------------------------------------

FORBIDDEN = Unreadable(forbidden=True, **WORDS)
AS_LOOKS: list[tuple[Outcome, object, object]] = [
    (Accepted(**WORDS), Unreadable(**WORDS), Unknown(**WORDS)),
    (Already(**WORDS), Unreadable(**WORDS), Unknown(**WORDS)),
    (Already(forbidden=True, **WORDS), FORBIDDEN, FORBIDDEN),
    (Refused(reason=DeadReason.REFUSED, **WORDS), Unreadable(**WORDS), Unknown(**WORDS)),
    (Refused(reason=DeadReason.LIMIT_REACHED, **WORDS), Unreadable(**WORDS), Unknown(**WORDS)),
    *(
        (Refused(reason=DeadReason.NOT_FOUND, **WORDS), missing, missing)
        for missing in (Reading(state=State.MISSING, **WORDS),)
    ),
    *(
        (same, same, same)
        for same in (
            Deferred(),
            Throttled(),
            Blocked(cause=Cause.BALANCE),
            Unknown(),
            Unknown(answered=True, wait_seconds=7),
            Unsent(),
        )
    ),
]


@pytest.mark.parametrize(("given_outcome", "of_provider", "of_others"), AS_LOOKS)
def test_a_check_is_never_refused(given_outcome: Outcome, of_provider: object, of_others: object) -> None:
    """It cannot be understood, or there is no such task; from others than the provider it is as good as no answer."""
    assert as_check_result(given_outcome, own_format=True) == of_provider
    assert as_check_result(given_outcome, own_format=False) == of_others


# --- bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": [1, "x", null, true]}', {"a": [1, "x", None, True]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": "\xff"}', {"a": "\N{REPLACEMENT CHARACTER}"}),
        (b'{"a\\u0000": "b\\u0000c"}', {"a": "bc"}),
        (b'["\\ud800", "\\ud83d\\ude00"]', ["?", "\N{GRINNING FACE}"]),
        (b"[NaN, Infinity, 1e999, 1.5]", [None, None, None, 1.5]),
        (b"", None),
        (b"<html>", None),
        (b'{"a": 1', None),
        (b"[" * 100_000, None),
        (b"1" * 10_000, None),
    ],
)
def test_json_is_read_as_far_as_a_database_can_keep_it(body: bytes, expected: object) -> None:
    """Neither broken characters nor half surrogates nor infinities get through, and nothing raises."""
    assert read_json(body) == expected


def test_fields_and_items() -> None:
    """An object or an empty one; a list or a list of one."""
    assert [fields(value) for value in ({"a": 1}, [1], "x", None)] == [{"a": 1}, {}, {}, {}]
    assert [items(value) for value in ([1, 2], {"a": 1}, None)] == [[1, 2], [{"a": 1}], [None]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7, 7),
        ("7", 7),
        (" -7 ", -7),
        (0, 0),
        (True, None),
        (7.0, None),
        ("7.0", None),
        ("", None),
        ("七", None),
        (None, None),
        ([7], None),
        ("9" * 30, None),
    ],
)
def test_numbers_come_as_such_or_as_digits(value: object, expected: int | None) -> None:
    """And as nothing else; true is not 1."""
    assert number(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [("x", "x"), (7, "7"), (1.5, "1.5"), (True, ""), (None, ""), ({}, ""), (["x"], "")]
)
def test_text_takes_numbers_for_ids(value: object, expected: str) -> None:
    """An id is the same id as a number."""
    assert text(value) == expected


# --- words -------------------------------------------------------------------------------------------------------


def test_words_become_one_printable_line() -> None:
    """Line ends would forge log lines, and a database refuses NUL."""
    assert line(" two\r\nlines\t\0and \x1b[31mmore\ud800 ") == "two lines and [31mmore"


def test_words_are_cut_between_words() -> None:
    """At most 500 characters, and never half of what may be a secret."""
    assert line("x" * 500) == "x" * 500
    assert line("word " * 200) == ("word " * 100).strip()
    assert line("a" * 490 + " SECRETSECRETSECRET") == "a" * 490
    assert line("a " + " " * 1990 + "SECRETSECRETSECRET") == "a"
    assert line("x" * 501) == ""
    assert line("a" * 500 + " b") == "a" * 500
    assert line("a" + " " * 1994 + "whole") == "a whole"
    assert line("a" + " " * 1994 + "broken") == "a"


@given(st.text(max_size=3000))
def test_words_are_always_fit_to_store(value: str) -> None:
    """Printable, encodable and short."""
    found = line(value)
    assert len(found) <= 500
    assert found.isprintable()
    found.encode()


@pytest.mark.parametrize(
    ("status", "message", "headers", "body", "expected"),
    [
        (400, "no", {}, b"body", "no"),
        (302, "", {"location": "https://login.example"}, b"body", "https://login.example"),
        (502, "", {}, b"<h1>Bad\nGateway</h1>", "<h1>Bad Gateway</h1>"),
        (500, "", {}, b'{"oops": 1}', '{"oops": 1}'),
        (200, "", {}, b"<h1>Log in</h1>", "<h1>Log in</h1>"),
        (200, "", {}, b' {"output": "private"}', "HTTP 200"),
        (200, "", {}, b'[{"output": "private"}]', "HTTP 200"),
        (400, "", {}, b"caf\xe9", "caf\N{REPLACEMENT CHARACTER}"),
        (504, "", {}, b"", "HTTP 504"),
        # JSON that is cut or malformed is nobody's data any more.
        (200, "", {}, b'{"code": 0, "data": {"total', '{"code": 0, "data": {"total'),
        (200, "", {}, b'[{"id": 7},, ]', '[{"id": 7},, ]'),
        (202, "", {}, b'{"code": 0}}', '{"code": 0}}'),
        (200, "", {}, b"null", "null"),
        (200, "", {}, "\u00e9 ".encode() * 9000, ("\u00e9 " * 250).strip()),
    ],
)
def test_something_is_always_said(
    status: int, message: str, headers: dict[str, str], body: bytes, expected: str
) -> None:
    """The message, else the target of a redirect, else the text, but never the data of a success."""
    answer = Answer(status, headers, body)
    found = said(answer, 40001, message, body=read_json(body))
    assert found == {"http_status": status, "code": "40001", "message": expected}


def test_codes_are_short() -> None:
    """A column has an end."""
    assert said(Answer(400, {}, b""), "x" * 64)["code"] == "x" * 64
    assert said(Answer(400, {}, b""), "x" * 65)["code"] == ""
    assert said(Answer(400, {}, b""))["code"] == ""


def test_marks_are_short_and_differ() -> None:
    """Readable as long as they fit, else a digest; nothing known is no mark."""
    assert short_mark(1718744459, 35) == "1718744459/35"
    assert short_mark(1718744459, None) == "1718744459"
    assert short_mark(None, None) == ""
    assert short_mark("x" * 64) == "x" * 64
    assert len(short_mark("x" * 65)) == 64
    long, other = short_mark(json.dumps(list(range(99)))), short_mark(json.dumps(list(range(98))))
    assert len(long) == len(other) == 64
    assert long != other
