"""docs/glossary.md defines each word that a row, an answer or the ledger has, and no other."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from redrive.models import ledger
from redrive.models.outcome import OUTCOMES, Cause, State
from redrive.models.states import BatchStatus, DeadReason, Operation, SetAside, Status, Wish

PAGE = (Path(__file__).parents[1] / "docs/glossary.md").read_text()
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))

WORDS: Mapping[str, Iterable[str]] = {
    "Statuses of a task": Status,
    "Dead reasons": DeadReason,
    "Outcomes of a retry": [outcome.name for outcome in OUTCOMES],
    "What a check finds": State,
    "Other words in rows": [*Operation, *BatchStatus, *SetAside, *Wish, *Cause],
    "The ledger": ledger.__all__,
}


def rows(section: str) -> list[tuple[str, str]]:
    """The first cell of each row, without its backticks, and the last."""
    cells = [line.strip("|").split(" | ") for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    return [(row[0].strip(" `"), row[-1].strip()) for row in cells[1:]]


@pytest.mark.parametrize("section", WORDS)
def test_a_section_has_the_words_of_the_code(section: str) -> None:
    """Everything that is missing, or that the code has no longer, at once."""
    defined, used = [word for word, _ in rows(section)], [str(word) for word in WORDS[section]]
    assert {"define": sorted(set(used) - set(defined)), "remove": sorted(set(defined) - set(used))} == {
        "define": [],
        "remove": [],
    }
    assert sorted(defined) == sorted(used), "a word stands twice"


@pytest.mark.parametrize("section", ["Forty words", *WORDS])
def test_each_word_has_one_short_sentence(section: str) -> None:
    """At most 25 words, so that nobody has to read one twice."""
    meanings = dict(rows(section))
    assert {word: text for word, text in meanings.items() if not 0 < len(text.split()) <= 25} == {}
    assert {word: text for word, text in meanings.items() if re.search(r"\. \w", text)} == {}


def test_the_words_are_in_order() -> None:
    """Each once, and where a reader finds it."""
    words = [word for word, _ in rows("Forty words")]
    assert words == sorted(set(words))
    assert 40 <= len(words) <= 50
