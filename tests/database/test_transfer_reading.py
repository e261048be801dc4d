"""Files → rows: what is read, which line a refusal names, and where reading goes on after something broken."""

import io
from typing import Any

import pytest

from redrive.transfer.lines import LONGEST, UnusableFile, text_of
from redrive.transfer.reading import read_rows

QUOTE = 'has a quote that is not closed or not doubled; inside a quoted field a quote is written ""'
NOT_UTF8 = "is not UTF-8 text; save the file as UTF-8"


def read(content: str | bytes, name: str = "tasks.csv") -> list[tuple[int, Any]]:
    """Each row's line, and its values or its problem."""
    stream = io.BytesIO(content.encode() if isinstance(content, str) else content)
    with text_of(stream) as text:
        return [(row.number, row.problem or dict(row.values)) for row in read_rows(text, name)]


def ids(content: str | bytes, name: str = "tasks.csv") -> list[tuple[int, Any]]:
    return [
        (number, found if isinstance(found, str) else found["external_id"]) for number, found in read(content, name)
    ]


def unusable(content: str | bytes, name: str = "tasks.csv") -> str:
    with pytest.raises(UnusableFile) as caught:
        read(content, name)
    return str(caught.value)


HEADER = "account,external_id,reason\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(mark: bytes, end: str) -> None:
    text = end.join(["account, external_id ,reason", "phones,1,é", "", 'phones,2,"a, ""b"""', "phones,3,"])
    assert read(mark + text.encode()) == [
        (2, {"account": "phones", "external_id": "1", "reason": "é"}),
        (4, {"account": "phones", "external_id": "2", "reason": 'a, "b"'}),
        (5, {"account": "phones", "external_id": "3", "reason": ""}),
    ]


def test_a_row_of_several_lines_has_the_number_of_its_first() -> None:
    text = HEADER + 'phones,1,"a\nb\r\n\nc"\nphones,2,\n\n\nphones,3,"\n"\nphones,4'
    assert ids(text) == [(2, "1"), (6, "2"), (9, "3"), (11, "has 2 columns where the header has 3")]


@pytest.mark.parametrize("row", ["phones,1", "phones,1,,", ",", "phones"])
def test_a_row_too_short_or_too_long_is_refused_alone(row: str) -> None:
    columns = row.count(",") + 1
    refusal = f"has {columns} columns where the header has 3"
    assert ids(f"{HEADER}phones,0,\n{row}\nphones,2,\n") == [(2, "0"), (3, refusal), (4, "2")]


def test_a_quote_left_open_costs_its_line_only() -> None:
    rows = "".join(f"phones,{number},fine\n" for number in range(5000))
    found = ids(f'{HEADER}phones,first,"broken\n{rows}phones,last,"\n')
    assert found[0] == (2, QUOTE)
    assert found[1:5001] == [(number + 3, str(number)) for number in range(5000)]
    assert found[5001:] == [(5003, QUOTE)]


@pytest.mark.parametrize("broken", ['"a"b', '"a" ', '"', '"a""'])
def test_a_misplaced_quote_costs_its_line_only(broken: str) -> None:
    assert ids(f'{HEADER}phones,1,{broken}\nphones,2,"c"\nphones,3,\n') == [(2, QUOTE), (3, "2"), (4, "3")]


def test_ten_thousand_broken_lines_are_ten_thousand_refusals() -> None:
    """Each is read on from the line after it; nothing grows with their number."""
    found = ids(HEADER + 'phones,1,"a"b\n' * 10_000)
    assert found == [(number, QUOTE) for number in range(2, 10_002)]


def test_a_line_too_long_is_refused_and_not_kept() -> None:
    text = f"{HEADER}phones,1,{'x' * LONGEST}\nphones,2,\n"
    assert ids(text) == [(2, "is longer than 262,144 characters"), (3, "2")]
    lines = f'{{"external_id": "{"x" * 3 * LONGEST}"}}\n{{"external_id": "2"}}'
    assert ids(lines) == [(1, "is longer than 262,144 characters"), (2, "2")]


def test_a_line_that_is_not_utf8_is_refused_alone() -> None:
    text = HEADER.encode() + "phones,1,任务失败\n".encode("gbk") + "phones,2,任务失败\n".encode()
    assert ids(text) == [(2, NOT_UTF8), (3, "2")]
    assert ids(b'{"external_id": "1"}\n{"external_id": "\xff"}\n') == [(1, "1"), (2, NOT_UTF8)]


def test_columns_of_an_export_are_skipped() -> None:
    told = "id,dead_reason,next,due_at,wish,attempts,spent,granted,provider_ref,status_since,created_at,updated_at"
    (row,) = read(f"account,external_id,{told}\nphones,1{',x' * 12}\n")
    assert row == (2, {"account": "phones", "external_id": "1"})
    assert read('{"external_id": "1", "id": 5, "spent": 2}') == [(1, {"external_id": "1"})]


@pytest.mark.parametrize("name", ["tasks.jsonl", "TASKS.NDJSON", "-", "tasks.csv"])
def test_json_lines_are_known_by_their_first_character(name: str) -> None:
    text = '\n {"account": "phones", "external_id": 5}\n\n[1]\n{"a"\nnull\n{"a": 1' + "0" * 5000 + "}\n" + "[" * 100_000
    assert read(text, name) == [
        (2, {"account": "phones", "external_id": 5}),
        (4, 'is not a JSON object, such as {"account": "phones", "external_id": "591"}'),
        (5, "is not JSON: Expecting ':' delimiter at column 1"),
        (6, 'is not a JSON object, such as {"account": "phones", "external_id": "591"}'),
        (7, "is JSON with a number too long or nested too deeply"),
        (8, "is JSON with a number too long or nested too deeply"),
    ]


def test_json_lines_are_known_by_their_name() -> None:
    assert read("", "none.jsonl") == []
    assert read("account\n", "tasks.jsonl") == [(1, "is not JSON: Expecting value at column 1")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty; its first line must name the columns, such as account,external_id,status"),
        ("\n\n", "is empty; its first line must name the columns, such as account,external_id,status"),
        ("account,status\n", "line 1: has no column external_id"),
        ("status\n", "line 1: has no column account and no column external_id"),
        ("account,external_id,extrenal_id\n", "line 1: column 'extrenal_id': is not known; did you mean external_id?"),
        ("account,external_id,status,status\n", "line 1: names status twice"),
        ("account;external_id\nphones;1\n", "has semicolons between its columns; save it with commas"),
        ("account\texternal_id\n", "has tabs between its columns; save it with commas"),
        ('\n"account,external_id\n', f"line 2 {QUOTE}; it must name the columns"),
        ('[{"account": "phones"}]', "is a JSON array; write one object per line, without the brackets around them"),
        ("account,external_id\n".encode("utf-16"), "is not UTF-8 text; save it as CSV UTF-8 or as JSON lines"),
        (b"PK\x03\x04\x00\x00\n", "is not UTF-8 text; save it as CSV UTF-8 or as JSON lines"),
    ],
)
def test_an_unusable_file_is_refused_as_a_whole(content: str | bytes, words: str) -> None:
    assert unusable(content) == words
