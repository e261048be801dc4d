"""What a message may say: exactly our three jobs, and words of ours for everything else."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models import jobs
from redrive.models.errors import BadInput
from redrive.worker import messages
from tests.support import forged

HEADERS = {"task": jobs.RETRY, "id": "a"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)


def read(envelope: dict[str, Any]) -> messages.Message:
    """As the consumer reads what kombu made of an envelope."""
    body = envelope.get("body")
    try:
        raw = base64.b64decode(body) if isinstance(body, str) else body
    except ValueError:
        raw = b"?"
    return messages.read(envelope.get("headers"), envelope.get("content-type"), envelope.get("content-encoding"), raw)


@pytest.mark.parametrize(
    ("task", "body"),
    [
        (jobs.RETRY, forged.body("1f44f64a-c4e0-4eda-9d96-ad11b2062d88", account="phones", operation="retry", size=97)),
        (jobs.CHECK, forged.body("1f44f64a-c4e0-4eda-9d96-ad11b2062d88")),
        (jobs.REQUEST, forged.body([1, 2])),
        (jobs.REQUEST, forged.body(ids=[1], who="host", reason="rules updated")),
        (jobs.REQUEST, forged.body([1], "host", None)),
    ],
)
def test_our_jobs_are_understood(task: str, body: str) -> None:
    """Headers that every Celery writes change nothing."""
    usual = {"retries": 0, "timelimit": [None, None], "eta": None, "expires": None, "argsrepr": "x", "origin": "host"}
    message = read(forged.envelope(task, body, "q", headers=usual))
    args, kwargs, _ = json.loads(base64.b64decode(body))
    assert (message.task, message.args, message.kwargs) == (task, args, kwargs)


def test_nothing_else_is_and_the_words_hold_nothing_of_it() -> None:
    words, understood = [], []
    for envelope in forged.envelopes("q"):
        try:
            understood.append(read(envelope))
        except BadInput as error:
            words.append(str(error))
    assert len(words) > len(understood)
    assert {message.task for message in understood} <= {jobs.RETRY, jobs.REQUEST}
    assert all(each.isprintable() and "forged" not in each for each in words)


@given(JSON, JSON, JSON, JSON)
def test_any_parts_are_read_or_refused(headers: object, kind: object, encoding: object, call: object) -> None:
    """And never raise anything else."""
    body = json.dumps(call).encode()
    for given_headers in (headers, HEADERS, {"task": headers, "id": kind}, {**HEADERS, "id": kind}):
        for kinds in ((kind, encoding), ("application/json", "utf-8")):
            with pytest.raises(BadInput):
                messages.read(given_headers, *kinds, body)


@pytest.mark.parametrize(
    "body", [None, 5, b"", b"\xff", b"[" * 300_000, b"[" * 20_000, b"x" * 300_000, "text", memoryview(b"5")]
)
def test_a_body_that_is_not_a_call_is_refused(body: object) -> None:
    with pytest.raises(BadInput):
        messages.read(HEADERS, "application/json", "utf-8", body)


@pytest.mark.parametrize(
    ("who", "recorded"),
    [
        ("", "request"), (None, "request"), ("host", "request: host"), ("operator@desk", "request: operator@desk"),
        ("a\nb\x1b[2J", "request: a b [2J"), ("x" * 9999, "request: " + "x" * 200),
    ],
)  # fmt: skip
def test_a_senders_name_is_marked_as_claimed(who: str | None, recorded: str) -> None:
    """On one line, of a length that is kept."""
    assert messages.wish([3, 1, 3], who, "r" * 9999) == messages.HostRequest([1, 3], recorded, "r" * 500)
