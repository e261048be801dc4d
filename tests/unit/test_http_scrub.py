"""No secret gets out in a text, however it was echoed."""

import base64
import html
import json
import re
import string
import time
import timeit
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from redrive.models.outcome import Accepted, Blocked, Cause, Reading, State
from redrive.worker.providers.http_answers import line
from redrive.worker.scrub import STRUCK, holds, scrub, scrubbed, struck
from tests.support import marks

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


# --- Every way of writing ------------------------------------------------------------------------------------------

LETTERS = string.ascii_letters + string.digits + "/+=&%\"'\\@#:?<>;-_. äß"
NAMED = {"/": "&sol;", "+": "&plus;", "=": "&equals;", "&": "&amp;", "%": "&percnt;", "<": "&lt;", '"': "&quot;"}


def each(letters: str, written: Callable[[str], str]) -> Callable[[str], str]:
    """An encoder that writes these letters differently, and leaves the others."""
    return lambda text: "".join(written(letter) if letter in letters else letter for letter in text)


SIGNS = "/+=&%\"'\\@#:?<>;."
WRITTEN: dict[str, Callable[[str], str]] = {
    "percent": lambda text: quote(text, safe=""),
    "percent but slashes": quote,
    "percent in lower case": each(SIGNS, lambda letter: f"%{ord(letter):02x}"),
    "every letter in percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "a form": quote_plus,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON as PHP has it": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in numbers": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "JSON in capital numbers": each(SIGNS, lambda letter: f"\\u{ord(letter):04X}"),
    "HTML": html.escape,
    "HTML by name": each("".join(NAMED), lambda letter: NAMED[letter]),
    "HTML in decimals": each(SIGNS, lambda letter: f"&#{ord(letter)};"),
    "HTML in hexadecimal": each(SIGNS, lambda letter: f"&#x{ord(letter):X};"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base64 with a user before it": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "capital hexadecimal": lambda text: text.encode().hex().upper(),
    "blanks between": " ".join,
    "broken into lines": lambda text: "\r\n\t".join(text[at : at + 7] for at in range(0, len(text), 7)),
    "with what cannot be seen": "\u200b".join,
}

secrets_ = st.text(st.sampled_from(LETTERS), min_size=9, max_size=48).filter(
    lambda text: len("".join(text.split())) > 8
)
chains = st.lists(st.sampled_from(sorted(WRITTEN)), max_size=3)
around = st.sampled_from(["", " ", "key <", "token=", '{"a":"', "x", "%", "&", "\\", ">", "é", "401 "])


@examples(deadline=None)
@given(secret=secrets_, chain=chains, before=around, after=around)
def test_however_a_secret_is_written_it_does_not_stay(secret: str, chain: list[str], before: str, after: str) -> None:
    """One way of writing after the other: what undoes them finds nothing in what is kept."""
    written = secret
    for name in chain:
        written = WRITTEN[name](written)
    text = f"{before}{written}{after}"
    kept = struck(text, [secret])
    assert written not in kept
    assert not holds(kept, [secret])
    assert STRUCK in kept


@pytest.mark.parametrize(
    "secret", ["AbC/def+ghi==xyz", "p&q12345", "gl/Tok+en/0123", "two  blanks in it", "a\u00a0b\u200bcdefg"]
)
@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_what_stands_around_it_stays(secret: str, name: str) -> None:
    """The message remains of use: only the secret goes, and the rest of what encoded it."""
    kept = scrub(f"invalid app <{WRITTEN[name](secret)}> refused", [secret])
    assert kept.startswith("invalid app <")
    assert kept.endswith("> refused")
    assert STRUCK in kept


@pytest.mark.parametrize(
    "text",
    [
        'x-ti-secret-code":"AbC\\/def+ghi==xyz"}',
        "<pre>AbC&#47def&#43ghi&#61&#61xyz</pre>",
        "<pre>AbC&#x2Fdef&#x2Bghi&#x3D&#x3Dxyz</pre>",
        "<pre>AbC&soldef&plusghi&equals&equalsxyz</pre>",
        "abc%2fDEF%2bghi%3d%3dXYZ",
        "AbC%252fdef%252bghi%253d%253dxyz",
        "AbC\\\\u002fdef+ghi==xyz",
        "AbC / def + ghi == xyz",
        "0x4162432f6465662b6768693d3d78797a",
    ],
)
def test_forms_that_servers_were_seen_to_use(text: str) -> None:
    kept = scrub(text, ["AbC/def+ghi==xyz"])
    assert STRUCK in kept
    assert not re.search("def|ghi|xyz|DEF|XYZ", kept)


def test_the_piece_of_a_secret_that_a_cut_leaves_is_struck() -> None:
    """A provider's text is cut before it comes here, perhaps in the middle of a secret."""
    for cut in range(8, len(LONG)):
        assert scrub(f"you sent {LONG[:cut]}", [LONG]) == "you sent ***"
        assert scrub(f"you sent {quote(LONG[:cut], safe='')}", [LONG]) == "you sent ***"


LONG = "mIi/0123+abcd=efgh"


@pytest.mark.parametrize("turn", range(0, 20, 3))
@pytest.mark.parametrize("before", ["", "x" * 400 + " "])
def test_of_many_forms_in_one_text_that_was_cut_no_half_stays(turn: int, before: str) -> None:
    """Whichever comes first, and wherever the cut falls."""
    both = [marks.secret("one"), marks.secret("another")]
    forms = [form for value in both for form in marks.written(value)]
    text = line(before + " ".join([*forms[turn:], *forms[:turn]]))
    kept = struck(text, both)
    assert not [needle for value in both for needle in marks.needles(value) if needle in kept]


@pytest.mark.parametrize(
    "text",
    [
        "task 4711 failed: 100%25 of 3 &amp; 5 in C:\\temp\\new",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0NzExIn0 is expired",
        "0123456789abcdef0123456789abcdef is not known",
        "https://elsewhere.example/a%2Fb?c=%E4%BD%A0",
        "设备忙 请稍后再试",
        "&&&&&&;;;%%%%%\\\\\\\\",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert scrub(text, ["AbC/def+ghi==xyz", LONG]) == text


def test_so_many_layers_as_nobody_writes_are_not_unwrapped() -> None:
    """In doubt it goes: the time stays bounded, and nothing gets through."""
    layers = "AbC/def+ghi==xyz"
    for _ in range(70):
        layers = quote(layers, safe="")
    assert "def" not in scrub(layers, ["AbC/def+ghi==xyz"])


@pytest.mark.parametrize(
    "text",
    [
        "The <a href='x'>provider</a> says &amp; %2f again; id=5932048. " * 8,
        "\\u0041" * 83,
        "%41" * 166,
        "&amp;" * 100,
        "%25" * 166,
        "&#" * 250,
        "\\" * 500,
        base64.b64encode(bytes(range(256))).decode(),
        "ab" * 250,
    ],
    ids=lambda text: text[:6],
)
def test_a_message_takes_milliseconds_and_a_result_seconds_whatever_it_holds(text: str) -> None:
    """Linear in its length."""
    secrets = [LONG, "MIIF" + "x7Yt" * 2000]
    assert fastest(lambda: holds(text[:500], secrets)) < 0.02
    assert fastest(lambda: holds((text * 2100)[: 256 * 1024], secrets)) < 1.25


def fastest(run: Callable[[], object]) -> float:
    """Seconds of this process alone, of a few: others want the machine, too."""
    return min(timeit.repeat(run, timer=time.process_time, number=1, repeat=2))


def test_a_result_is_searched_in_all_its_texts_and_names() -> None:
    written = quote(LONG, safe="")
    result = {"a": [{"b": f"x {written} y"}, 5, None, True], written: "name", "c": ["clean"] * 3}
    reading = scrubbed(Reading(state=State.FAILED, result=result), [LONG])
    assert isinstance(reading, Reading)
    assert reading.result == {"a": [{"b": "x *** y"}, 5, None, True], "***": "name", "c": ["clean"] * 3}
