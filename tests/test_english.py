"""Messages, help, docstrings, comments and pages are plain English: some forms are not used, each for a reason."""

import io
import re
import tokenize
from collections.abc import Iterator

import pytest

from tests.test_architecture import ROOT, SOURCES
from tests.test_docs import PAGES

FORMS = {
    r"shall\b": 'old; write "must", "will" or the present tense',
    r"(?:whoever|whom)\b": 'heavy; name who it is: "the caller", "anyone who"',
    r"(?:told|said)\b": "vague; something is reported, logged, recorded, printed, answered or passed on",
    r"hear(?:s|d)?\b": "nothing is heard; something is received, answered or reported",
    r"(?<!there )(?:is|are|was|were) no (?!longer|more|less)": 'translated; write "is not a"',
    r"(?:is|are) (?:due|paused|held|open|there) since\b": 'translated; write "has been due for"',
    r"blanks\b": 'translated; write "spaces"',
    r"mend(?:s|ed|ing)?\b": 'for clothes; write "fix" or "correct"',
    r"look(?:s|ed|ing)?\b(?! like| for| up| it up| as if)": "the word is check; or read, search, ask, watch",
}
"""Form → why not, and what to write."""

FROZEN = "models/sql/migrations/versions"
"""Never changed again."""


def prose_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of each string and comment, without code in backticks."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING) or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            for offset, line in enumerate(without_code(token.string).splitlines()):
                if " " in line.strip():  # one word alone is a name
                    yield token.start[0] + offset, line


def prose_of_page(text: str) -> Iterator[tuple[int, str]]:
    yield from enumerate(without_code(text).splitlines(), start=1)


def without_code(text: str) -> str:
    """What stands between backticks, braces or fences is a name or a program's own words."""
    fences = re.sub(r"^ *```.*?^ *```", lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"``?[^`\n]+``?|\{[^{}\n]*\}", "CODE", fences)


def findings(lines: Iterator[tuple[int, str]]) -> Iterator[str]:
    for number, line in lines:
        for form, why in FORMS.items():
            for found in re.finditer(rf"\b{form}", line, re.IGNORECASE):
                yield f"{number}: {found[0]!r} in {line.strip()[:90]!r}: {why}"


def in_sources() -> Iterator[str]:
    for path in SOURCES:
        name = str(path.relative_to(ROOT))
        if not name.startswith(FROZEN):
            yield from (f"{name}:{each}" for each in findings(prose_of_python(path.read_text())))


def in_pages() -> Iterator[str]:
    for path in PAGES:
        if path.name != "CHANGELOG.md":  # what was released stays as it was
            yield from (f"{path.name}:{each}" for each in findings(prose_of_page(path.read_text())))


def test_sources_are_plain_english() -> None:
    wrong = [*in_sources()]
    assert not wrong, "\n".join(wrong)


def test_pages_are_plain_english() -> None:
    wrong = [*in_pages()]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "line",
    [
        "No pace shall be lost.",
        "Whoever asks gets an answer.",
        "It was said in the log.",
        "The worker is told to stop.",
        "The broker is heard again.",
        "That is no error.",
        "A task is due since 3 min.",
        "The scheduler looks at the rows.",
        "Mend the credentials.",
    ],
)
def test_an_offending_form_is_found(line: str) -> None:
    assert len([*findings(iter([(1, line)]))]) == 1


@pytest.mark.parametrize(
    "line",
    [
        "It is no longer due.",
        "It looks like an id.",
        "The host is looked up.",
        "`said` and ``look`` are names.",
        "saidst",
    ],
)
def test_other_forms_are_not(line: str) -> None:
    assert [*findings(prose_of_page(line))] == []
