"""Tables and paragraphs: names, ids and numbers are whole at any width."""

import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from redrive.cli.render import Column, Grid, Pairs, Paragraph, number
from redrive.terminal import safe


def drawn(what: RenderableType, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, soft_wrap=True, markup=False, highlight=False)
    console.print(what)
    assert isinstance(console.file, StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def grid(*rows: tuple[str, int, str, str]) -> Grid:
    columns = [
        Column("Account", names=True),
        Column("Dead", right=True),
        Column("Why", prose=True),
        Column("Last", spare=True),
    ]
    lines = Grid(columns)
    for account, dead, why, last in rows:
        lines.add(account, number(dead), why, last)
    return lines


def test_what_fits_is_a_table() -> None:
    assert drawn(grid(("phones", 12, "two words", "x"), ("b", 0, "", "")), 80) == [
        "Account  Dead  Why        Last",
        "phones     12  two words  x",
        "b           ·",
    ]


def test_columns_without_anything_in_them_are_left_out_where_that_helps() -> None:
    empty = grid(("phones-in-a-rack", 0, "", ""))
    assert drawn(empty, 80)[0].split() == ["Account", "Dead", "Why", "Last"]
    assert drawn(empty, 20) == ["Account", "phones-in-a-rack"]


def test_what_does_not_fit_stands_on_lines_of_its_own() -> None:
    told = drawn(grid(("phones-of-the-second-floor", 1_234_567, "why not " * 6, "boom " * 20)), 30)
    assert told[:2] == ["phones-of-the-second-floor", "  Dead 1,234,567"]
    assert told[2].startswith("  Why why not")
    assert told[-1].endswith("…"), "one line of what can be spared"
    assert all(cell_len(line) <= 30 for line in told)


NAMES = st.text(st.characters(categories=("L", "N", "P"), max_codepoint=0x9FFF), min_size=1, max_size=64)


@given(st.lists(st.tuples(NAMES, st.integers(1, 10**12)), min_size=1, max_size=4), st.integers(20, 200))
def test_names_and_numbers_are_whole_at_any_width(rows: list[tuple[str, int]], width: int) -> None:
    told = "\n".join(drawn(grid(*((name, dead, "because of this", "and that") for name, dead in rows)), width))
    for name, dead in rows:
        assert safe(name) in told
        assert f"{dead:,}" in told


@pytest.mark.parametrize("width", [5, 20, 60, 200])
def test_a_paragraph_breaks_between_words_only(width: int) -> None:
    words = ["account", "phones-of-the-second-floor", "is", "paused", "by", "root@host:", "电话-上海", "is", "away"]
    told = drawn(Paragraph(" ".join(words), indent=2, heading="x "), width)
    assert [word for line in told for word in line.split()] == ["x", *words]
    assert all(line.startswith(("  x ", "    ")) for line in told)


def test_pairs_stand_side_by_side_as_far_as_there_is_room() -> None:
    assert drawn(Pairs([Text("Due 1"), Text("Dead 22"), Text("Held 333")]), 20) == ["  Due 1   Dead 22", "  Held 333"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äß 电话", "plain äß 电话"),
        ("a\nb\tc\u2028d", "a b c d"),
        ("\x1b[2J\x07", r"\x1b[2J\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202edef", r"abc\u202edef"),
        ("\ud800", r"\ud800"),
    ],
)
def test_text_from_outside_is_shown_and_steers_nothing(text: str, shown: str) -> None:
    assert safe(text) == shown


CELLS = st.one_of(
    NAMES,
    st.builds(Text, NAMES, st.sampled_from(["", "red", "dim"])),
    st.builds(lambda a, b: Text.assemble((a, "bold"), b), NAMES, NAMES),
)


def colored(what: RenderableType) -> str:
    console = Console(
        file=StringIO(), width=1000, soft_wrap=True, markup=False, highlight=False, force_terminal=True,
        color_system="standard",
    )  # fmt: skip
    console.print(what)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4))
def test_lines_of_our_own_check_as_a_table_of_rich(rows: list[tuple[Text, Text, Text]]) -> None:
    """Where nothing is folded each cell is written as it is: numbers end at the right, styles are kept."""
    ours = Grid([Column("Account", names=True), Column("Dead", right=True), Column("Next due")])
    theirs = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for heading, justify in (("Account", "left"), ("Dead", "right"), ("Next due", "left")):
        theirs.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        ours.add(*row)
        theirs.add_row(*row)
    assert drawn(ours, 1000) == drawn(theirs, 1000)
    assert styled(colored(ours)) == styled(colored(theirs))


def styled(written: str) -> list[tuple[str, str]]:
    """What is shown, with the style it is shown in: blanks have none."""
    styles = re.findall(r"(?:\x1b\[([0-9;]*)m)?([^\x1b]*)", written)
    return [(style if style != "0" else "", word) for style, words in styles for word in words.split()]
