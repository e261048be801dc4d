"""What the pages say is there: links lead somewhere, commands and make targets exist."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from redrive.cli.table import COMMANDS
from redrive.models.ledger import FORBIDDEN_IN_A_ROW
from redrive.models.outcome import Already, Blocked, Outcome, Refused, Throttled
from redrive.worker.providers import docflow, geelark, http_answers, huawei_errors
from redrive.worker.providers.base import Split

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#]*)(?:#([^)]*))?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_there_are_pages() -> None:
    """The checks below look at something."""
    assert {"README.md", "how-it-works.md", "lifecycle.md"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and a heading of it."""
    broken = []
    for name, anchor in LINK.findall(page.read_text()):
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{name}#{anchor}")
    assert broken == []


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(page.read_text())}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    """Every `redrive …` and `make …` in a console block is one."""
    commands = set(COMMANDS)
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(BLOCK.findall(page.read_text()))
    assert set(re.findall(r"^\$? ?redrive ([a-z]+)", text, re.MULTILINE)) <= commands
    assert set(re.findall(r"^\$? ?make ([a-z-]+)", text, re.MULTILINE)) <= targets


NAMED = re.compile(r"`([\w/]+\.py)`(?:\s+\(([^)]*)\))?")


@pytest.mark.parametrize("name", ["how-it-works.md", "reliability.md"])
def test_promises_name_code_that_is_there(name: str) -> None:
    """Files, and the functions named behind them, exist."""
    named = NAMED.findall((ROOT / "docs" / name).read_text())
    assert len(named) >= 9
    missing = [
        f"{path}: {function}"
        for path, functions in named
        for function in re.findall(r"`(\w+)`", functions)
        if f"def {function}(" not in (ROOT / path).read_text()
    ]
    assert missing == []


def test_every_promise_is_kept_and_attacked() -> None:
    """Each has its row and its section, which names code, and tests that are there."""
    rows = [line for line in (ROOT / "docs/how-it-works.md").read_text().splitlines() if line.startswith("| P")]
    assert len(rows) == 9
    assert all("`" in row.rsplit("|", 2)[1] for row in rows)
    page = (ROOT / "docs/reliability.md").read_text()
    sections = dict(re.findall(r"^## (P\d): [^\n]+\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == [f"P{number}" for number in range(1, 10)]
    for number, section in sections.items():
        assert re.search(r"`(models|scheduler|worker)/", section), number
        assert re.search(r"`tests/", section), number
    assert [path for path in re.findall(r"`(tests/[\w/.]+)`", page) if not (ROOT / path).exists()] == []


TABLES: Mapping[str, Mapping[Any, Outcome | Split]] = {
    "GeeLark, of the call": geelark.CALL_CODES,
    "GeeLark, of one task": geelark.TASK_CODES,
    "DocFlow": docflow.CODES,
    "Huawei, `APIG.` and `APIGW.`": huawei_errors.GATEWAY_CODES,
    "Huawei, HTTP": huawei_errors.STATUSES,
    "every provider, HTTP": http_answers.STATUSES,
}


def in_words(outcome: Outcome | Split) -> str:
    """What a code leads to, as the page says it."""
    match outcome:
        case Split(alone):
            return f"asked again in halves; alone: {in_words(alone)}"
        case Refused():
            return f"dead (`{outcome.reason}`)"
        case Blocked():
            return f"account paused (`{outcome.cause}`)"
        case Throttled(wait_seconds=None):
            return "the path waits, longer each time"
        case Throttled():
            return f"the path waits {outcome.wait_seconds:g} s"
        case Already(forbidden=True):
            return f"`already`; {FORBIDDEN_IN_A_ROW} tasks in a row pause the account"
        case _:
            return f"`{outcome.name}`"


def test_what_every_code_means_is_on_the_page() -> None:
    """The table for operators is the code's own."""
    page = (ROOT / "docs/providers.md").read_text()
    for name, codes in TABLES.items():
        rows = re.findall(rf"^\| {re.escape(name)} \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
        told = {code: words.strip() for listed, words in rows for code in listed.strip().split(", ")}
        assert told == {str(code): in_words(outcome) for code, outcome in codes.items()}, name
