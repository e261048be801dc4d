"""The search itself: it finds every form, wherever it stands, and does not take an empty place for a clean one."""

import base64

import pytest

from tests.support.marks import MARK, Search, needles, secret, written

SECRET = secret("a planted one")


@pytest.mark.parametrize("form", list(written(SECRET)))
def test_every_form_of_a_secret_is_found_and_named(form: str) -> None:
    search = Search({"other": secret("another"), "planted": SECRET})
    search.look("the cellar", f"{MARK} before {form} after")
    assert [line.split(": …")[0] for line in search.findings()] == ["the cellar: holds planted"]
    with pytest.raises(AssertionError, match="the cellar: holds planted"):
        search.conclude()


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode, bytes.hex])
def test_a_secret_in_something_encoded_is_found_wherever_it_begins(encode: object, before: int) -> None:
    """As in a message's body."""
    assert callable(encode)
    encoded = encode(b"x" * before + SECRET.encode() + b"yz")
    search = Search({"planted": SECRET})
    search.look("a message", encoded.decode() if isinstance(encoded, bytes) else encoded, expects=())
    assert len(search.findings()) == 1


def test_half_a_secret_is_found() -> None:
    """What a cut leaves."""
    for half in (SECRET[: len(SECRET) // 2], SECRET[len(SECRET) // 2 :]):
        assert any(piece in half for piece in needles(SECRET))


def test_a_place_that_was_not_searched_is_a_finding() -> None:
    search = Search({"planted": SECRET})
    search.look("nothing", "")
    search.look("something else", "of no interest", expects=["of", "worth"])
    assert search.findings() == ["nothing: 'plainmark' is not there", "something else: 'worth' is not there"]
    with pytest.raises(AssertionError, match="2 findings"):
        search.conclude()


def test_a_clean_place_is_none() -> None:
    search = Search({"planted": SECRET})
    search.look("clean", f"{MARK} and *** and {secret('unknown')}")
    search.conclude()
