"""No secret gets out in a text, however it was echoed."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from models.outcome import Accepted, Blocked, Cause, Reading, State
from worker.scrub import scrub, scrubbed

SECRET = 'p/ss "wörd"+1'


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        SECRET.encode().hex(),
        SECRET.encode().hex().upper(),
    ],
)
def test_a_secret_is_struck_out_in_every_form(echo: str) -> None:
    """As it is, quoted, escaped, encoded: what remains is what stood around it."""
    assert scrub(f"key <{echo}> refused", [SECRET]).replace("=", "") == "key <***> refused"


def test_a_secret_within_another_does_not_save_its_rest() -> None:
    """The longest goes first."""
    assert scrub("token abcdefgh", ["abcd", "abcdefgh"]) == "token ***"


def test_short_values_stay() -> None:
    """A secret of one to three characters would strike out words."""
    assert scrub("abc: 1 of 10 failed", ["1", "abc", ""]) == "abc: 1 of 10 failed"


def test_text_is_cut_after_scrubbing() -> None:
    """A secret across the cut leaves no half behind."""
    assert scrub("x" * 498 + "secret-value", ["secret-value"]) == "x" * 498 + "**"
    assert len(scrub("y" * 10_000, [])) == 500


def test_an_outcome_is_scrubbed_in_all_its_words() -> None:
    """Code and message come from outside; the rest stays."""
    outcome = Blocked(cause=Cause.CREDENTIALS, http_status=401, code="bad:token-1", message="no token-1 here")
    clean = Blocked(cause=Cause.CREDENTIALS, http_status=401, code="bad:***", message="no *** here")
    assert scrubbed(outcome, ["token-1"]) == clean


def test_everything_that_is_kept_of_an_answer_is_scrubbed() -> None:
    """The new id, the mark of a run and an archived result come from outside as well."""
    assert scrubbed(Accepted(ref="id-token-1"), ["token-1"]) == Accepted(ref="id-***")
    result = {"a": ["token-1", 1, None, {"token-1": "x" * 1000}], "status": 2}
    clean = {"a": ["***", 1, None, {"***": "x" * 1000}], "status": 2}
    reading = Reading(state=State.FAILED, mark="run token-1", code="2", result=result)
    assert scrubbed(reading, ["token-1"]) == Reading(state=State.FAILED, mark="run ***", code="2", result=clean)
