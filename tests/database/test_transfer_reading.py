"""Files → rows: what is read, which line a refusal names, and where reading goes on after something broken."""

import gzip
import io
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from redrive.transfer.formulas import meant, written
from redrive.transfer.lines import LONGEST, UnusableFile
from redrive.transfer.opening import text_of
from redrive.transfer.reading import read_rows

QUOTE = 'has a quote that is not closed or not doubled; inside a quoted field a quote is written ""'
NOT_UTF8 = 'is not UTF-8 text; save the file as UTF-8 (Excel: "CSV UTF-8"), or convert it with iconv -t UTF-8'


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


SHEET = "save the sheet as CSV UTF-8 and import that"
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


@pytest.mark.parametrize("row", ["phones,1", "phones,1,,x", "phones"])
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
        (7, {"a": "1" + "0" * 5000}),
        (8, "is JSON nested too deeply"),
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
        ("Account:id\n", "line 1: column 'account:id': is not known; did you mean account?"),
        (f"account,{'x' * LONGEST}\n", "line 1 is longer than 262,144 characters; it must name the columns"),
        ("sep=,\n", "is empty; its first line must name the columns, such as account,external_id,status"),
        ('\n"account,external_id\n', f"line 2 {QUOTE}; it must name the columns"),
        ("编号,account\n".encode("gbk"), NOT_UTF8),
        (b"PK\x03\x04\x14\x00", "is an Excel workbook or another zip archive; " + SHEET + ", or unpack the archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel workbook; " + SHEET),
        (b"PAR1\x15\x04", "is a Parquet file; write it as CSV or JSON lines"),
        (b"BZh91AY", "is compressed with bzip2; unpack it first: bunzip2"),
        (b"\x28\xb5\x2f\xfd\x00", "is compressed with zstd; unpack it first: unzstd"),
        (bytes(5000), "is not text; save it as CSV UTF-8 or as JSON lines"),
        (b"\x7fELF\x00\x00\x01\x00", "is not text; save it as CSV UTF-8 or as JSON lines"),
    ],
)
def test_an_unusable_file_is_refused_as_a_whole(content: str | bytes, words: str) -> None:
    assert unusable(content) == words


# --- what programs leave around the rows ---


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_columns_may_be_separated_by_any_of_four(mark: str) -> None:
    text = f'account{mark} external_id{mark}reason\nphones{mark} "1"{mark}a, b; c\n'.replace("a, b; c", '"a, b; c"')
    assert read(text) == [(2, {"account": "phones", "external_id": "1", "reason": "a, b; c"})]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;\r"])
def test_a_line_that_names_the_separator_is_obeyed(first: str) -> None:
    assert ids(f"{first}\naccount;external_id\nphones;1\n") == [(3, "1")]
    assert ids("sep=,\naccount,external_id\nphones,1\n") == [(3, "1")]
    assert ids("sep=^\naccount^external_id\nphones^1\n") == [(3, "1")]


def test_blanks_before_a_quote_are_not_part_of_the_cell() -> None:
    assert ids('account, "external_id"\nphones, "734"\nphones,   "a, b"\n') == [(2, "734"), (3, "a, b")]


def test_empty_columns_and_rows_are_skipped() -> None:
    text = "\n,,\naccount,external_id,,\nphones,1,,\n,,,\nphones,2,,,,,\n ; \nphones,3, ,\n,,"
    assert ids(text) == [(4, "1"), (6, "2"), (7, "has 1 columns where the header has 4"), (8, "3")]


def test_a_data_frames_index_is_skipped() -> None:
    """And a database's names in capitals are read."""
    assert read(",account,external_id\n0,phones,7\n1,phones,8\n") == [
        (2, {"account": "phones", "external_id": "7"}),
        (3, {"account": "phones", "external_id": "8"}),
    ]
    assert ids("Unnamed: 0,ACCOUNT,External_ID\n0,phones,7\nx,phones,8\n") == [
        (2, "7"),
        (3, "holds 'x' in column 1, which has no name; name the column or delete it"),
    ]


def test_a_cell_under_no_name_is_said() -> None:
    assert ids("account,external_id,,\nphones,1,x,\nphones,2,,\n") == [
        (2, "holds 'x' in column 3, which has no name; name the column or delete it"),
        (3, "2"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_encodings_and_compression_are_recognised(encoding: str, pack: Any) -> None:
    text = "account,external_id,reason\r\nphones,1,任务失败\r\n"
    assert read(pack(text.encode(encoding))) == [(2, {"account": "phones", "external_id": "1", "reason": "任务失败"})]
    lines = '{"account": "phones", "external_id": "1", "reason": "é"}\n'
    assert [row[1]["reason"] for row in read(pack(lines.encode(encoding)))] == ["é"]


def test_a_file_that_breaks_off_gives_its_rows_first() -> None:
    packed = gzip.compress((HEADER + "".join(f"phones,{n},{n * 7919 % 10007}\n" for n in range(50_000))).encode())
    found: list[int] = []

    def collect() -> None:
        with text_of(io.BytesIO(packed[: len(packed) // 2])) as text:
            found.extend(row.number for row in read_rows(text, "tasks.csv.gz"))

    with pytest.raises(UnusableFile, match="is damaged or cut off"):
        collect()
    assert found == list(range(2, len(found) + 2))
    assert len(found) > 10_000


def test_a_beginning_that_is_not_gzip_after_all_is_said() -> None:
    assert unusable(b"\x1f\x8bnot gzip").startswith("is damaged or cut off")


# --- JSON in its other shapes ---

TWO = [{"account": "phones", "external_id": "1"}, {"account": "phones", "external_id": "2", "params": {"a": [1, 2]}}]


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(TWO),
        json.dumps(TWO, indent=2),
        json.dumps(TWO, indent="\t").replace("\n", "\r\n"),
        "\n".join(json.dumps(each, indent=4) for each in TWO),
        "".join(json.dumps(each) for each in TWO),
        "\n".join(json.dumps(each) + "," for each in TWO),
        "[\n" + ",\n".join(json.dumps(each) for each in TWO) + ",\n]\n",
        "[" + json.dumps(TWO[0]) + "]\n[" + json.dumps(TWO[1]) + "]",
        " \n\n" * 10 + json.dumps(TWO),
        "\ufeff" + json.dumps(TWO),
    ],
)
def test_objects_come_one_after_the_other_however_they_are_printed(text: str) -> None:
    assert [found for _, found in read(text, "-")] == TWO


def test_json_of_no_rows_is_none() -> None:
    assert read("[]") == read("[\n]") == read("", "none.json.gz") == []


def test_an_array_on_one_line_may_be_longer_than_any_row() -> None:
    many = [{"account": "phones", "external_id": f"{n}", "reason": "x" * 100} for n in range(10_000)]
    text = json.dumps(many)
    assert len(text) > 4 * LONGEST
    assert ids(text) == [(1, f"{n}") for n in range(10_000)]


def test_rows_of_a_printed_array_have_the_numbers_of_their_lines() -> None:
    assert ids(json.dumps(TWO, indent=1)) == [(2, "1"), (6, "2")]


def test_a_broken_object_of_many_lines_costs_itself() -> None:
    text = json.dumps([*TWO, *TWO], indent=2).replace('"external_id": "1"', '"external_id" "1"', 1)
    assert ids(text) == [(2, "is not JSON: Expecting ':' delimiter at column 19"), (6, "2"), (16, "1"), (20, "2")]


def test_a_broken_object_of_an_array_on_one_line_costs_itself() -> None:
    many = [{"account": "phones", "external_id": f"{n}"} for n in range(20_000)]
    text = json.dumps(many).replace('"external_id": "5"', '"external_id" "5"').replace('"15000"', '"15000')
    assert len(text) > 2 * LONGEST
    found = ids(text)
    assert [what for _, what in found if "JSON" not in str(what)] == [
        f"{n}" for n in range(20_000) if n not in (5, 15_000)
    ]
    assert len(found) == 20_000


def test_lines_cut_off_anywhere_cost_themselves() -> None:
    whole = json.dumps(TWO[1])
    for cut in range(1, len(whole)):
        found = ids("\n".join([json.dumps(TWO[0]), whole[:cut], json.dumps(TWO[0]), json.dumps(TWO[0])]))
        assert (found[0], found[-1]) == ((1, "1"), (4, "1")), whole[:cut]
        assert any(isinstance(what, str) and "is not JSON" in what for _, what in found), whole[:cut]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('{"account": "phones", "external_id": "1", "external_id": "2"}', "external_id"),
        ('{"account": "a", "account": "a", "external_id": "1"}', "account"),
        ('{"external_id": "1", "params": {"b": 1, "b": 2}}', "b"),
    ],
)
def test_a_name_said_twice_is_refused(text: str, name: str) -> None:
    assert read(text) == [(1, f"says {name!r} twice; keep one of them")]


# --- memory ---


def _endless(size: int, beginning: bytes, block: bytes) -> io.BufferedReader:
    class Blocks(io.RawIOBase):
        left, first = size, beginning

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            chunk, self.first = (self.first or block)[: min(len(buffer), self.left)], b""
            buffer[: len(chunk)] = chunk
            self.left -= len(chunk)
            return len(chunk)

    return io.BufferedReader(Blocks())


FEW, MANY = 300_000, 3_000_000


@pytest.mark.parametrize(
    ("size", "beginning", "block"),
    [
        (FEW, b"\n", b"\n" * 8192),
        (FEW, HEADER.encode(), b"\n" * 8192),
        (FEW, b"\n", b"   \r\n" * 1600),
        (FEW, HEADER.encode(), b'"\n' * 4096),
        (MANY, b" ", b" " * 8192),
        (MANY, b"x", b"x" * 8192),
        (MANY, HEADER.encode(), b"x" * 8192),
        (MANY, HEADER.encode(), b'phones,1,"' * 800),
        (MANY, b'{"account": "', b"x" * 8192),
        (MANY, b'{"a": [', b"1, " * 2700),
        (MANY, b"[", b"[" * 8192),
        (MANY, b"{\n", b'"a": {\n' * 1000),
        (MANY, b"[\n", b",\n" * 4096),
    ],
)
def test_memory_stays_flat_whatever_comes(size: int, beginning: bytes, block: bytes) -> None:
    """Most keep less than the two or three copies a row may have, and many short lines next to nothing."""
    tracemalloc.start()
    try:
        with text_of(_endless(size, beginning, block)) as text:
            for _ in _rows_of(text):
                pass
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size * 0.6


def _rows_of(text: Any) -> Iterator[object]:
    try:
        yield from read_rows(text, "-")
    except UnusableFile:
        return


# --- formulas ---


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "''=1", "\uff1d1", "\r=1", "\n-"])
def test_a_formula_is_written_as_text_and_read_as_it_was(cell: str) -> None:
    assert written(cell, safe=True) == "'" + cell
    for safe in (True, False):
        assert meant(written(cell, safe=safe)) == cell


@pytest.mark.parametrize("cell", ["", "a", "'a", "''", "no network", "1-1", "a=b", " =1", "2026-08-18T12:00:00Z"])
def test_other_cells_are_written_as_they_are(cell: str) -> None:
    assert written(cell, safe=True) == written(cell, safe=False) == meant(cell) == cell
