"""What people hand in: what is taken, and in which words the rest is refused."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from redrive.models.errors import BadInput
from redrive.models.intake import COLUMNS, identity, new_task, reported_status
from redrive.models.ledger import NewTask
from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.models.states import Status

NO_ID = "a number with a fraction or exponent is not an id; write it in quotes, as text"
NO_KIND = "is not a kind of Huawei Cloud Workspace scripts"
NO_SUB_ID = "must be empty; kind review_task has none"
CAP = "GeeLark cloud phones takes at most 5 per task"
KNOWN = {"phones": GEELARK, "desktops": HUAWEI_WORKSPACE, "reviews": DOCFLOW}


def taken(account: str = "phones", external_id: Any = "591", **row: Any) -> NewTask:
    return new_task({"account": account, "external_id": external_id, **row}, KNOWN)


def refusal(account: Any = "phones", external_id: Any = "591", **row: Any) -> str:
    with pytest.raises(BadInput) as caught:
        new_task({"account": account, "external_id": external_id, **row}, KNOWN)
    return str(caught.value)


def test_two_columns_are_enough() -> None:
    assert taken() == NewTask(account="phones", kind="", external_id="591", status=Status.FAILED)


def test_every_column_arrives() -> None:
    row = {
        "account": "reviews",
        "kind": "review_rule",
        "external_id": " 300 ",
        "sub_id": " 7 ",
        "origin": "api",
        "status": "canceled",
        "failed_at": "2026-08-18T12:00:00+08:00",
        "reason": "withdrawn",
        "failure": " W-7 ",
        "priority": "-1",
        "max_retries": "3",
        "params": '{"workspace_id": "1"}',
    }
    assert set(row) == set(COLUMNS)
    assert new_task(row, KNOWN) == NewTask(
        account="reviews",
        kind="review_rule",
        external_id="300",
        sub_id="7",
        origin="api",
        status=Status.CANCELED,
        failed_at=datetime(2026, 8, 18, 4, tzinfo=UTC),
        failure="W-7",
        reason="withdrawn",
        priority=-1,
        max_retries=3,
        params={"workspace_id": "1"},
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_cell_is_a_default(empty: str | None) -> None:
    row = dict.fromkeys(COLUMNS, empty) | {"account": "phones", "external_id": "591"}
    assert new_task(row, KNOWN) == taken()


@pytest.mark.parametrize(
    ("account", "sub_id", "kind"),
    [("phones", "", ""), ("desktops", "", "task"), ("reviews", "", "review_task"), ("reviews", "7", "review_rule")],
)
def test_a_kind_that_is_not_named_is_the_default(account: str, sub_id: str, kind: str) -> None:
    assert taken(account, sub_id=sub_id).kind == kind


def test_ids_are_case_sensitive_trimmed_and_may_be_whole_numbers() -> None:
    assert taken("desktops", "\u00a0aB\t").external_id == "aB"
    assert taken(external_id=591234567890123456789).external_id == "591234567890123456789"
    assert len(taken(external_id="x" * 255).external_id) == 255
    assert taken("desktops", "00000000590715e01591661399001911").external_id == "00000000590715e01591661399001911"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"account": ""}, "account: is missing; must be one of phones, desktops, reviews"),
        ({"account": "phone"}, "account 'phone': is not configured; did you mean phones?"),
        ({"external_id": "  "}, "external_id: is missing; it is the id the provider gave the task"),
        ({"external_id": "x" * 256}, f"external_id '{'x' * 60}'…: has 256 characters; at most 255 are taken"),
        ({"external_id": "5\x001"}, "external_id '5\\x001': holds a character that cannot be seen (U+0000); remove it"),
        ({"origin": "5\u200b"}, "origin '5\\u200b': holds a character that cannot be seen (U+200B); remove it"),
        ({"origin": "5\ud800"}, "origin '5\\ud800': holds a character that cannot be seen (U+D800); remove it"),
        ({"external_id": True}, "external_id True: must be text"),
        ({"external_id": 10**300}, "external_id (a huge number): must be text"),
        ({"external_id": 5.91e17}, f"external_id '5.91e+17': {NO_ID}"),
        ({"kind": "task"}, "kind 'task': is not a kind of GeeLark cloud phones; leave it empty"),
        ({"account": "desktops", "kind": "taks"}, f"kind 'taks': {NO_KIND}; did you mean task?"),
        ({"sub_id": "7"}, "sub_id '7': must be empty; this provider has none"),
        ({"account": "reviews", "kind": "review_task", "sub_id": "7"}, f"sub_id '7': {NO_SUB_ID}"),
        ({"account": "reviews", "kind": "review_rule"}, "sub_id: is missing; kind review_rule needs it"),
        ({"account": "reviews", "external_id": "59a"}, "external_id '59a': must be all digits"),
        ({"account": "reviews", "sub_id": "7_7"}, "sub_id '7_7': must be all digits"),
        ({"origin": "x" * 65}, f"origin '{'x' * 60}'…: has 65 characters; at most 64 are taken"),
        ({"origin": "a\nb"}, "origin 'a\\nb': holds a character that cannot be seen (U+000A); remove it"),
        ({"status": "cancelled"}, "status 'cancelled': did you mean canceled?"),
        ({"status": "FAILED"}, "status 'FAILED': did you mean failed?"),
        ({"status": "?"}, "status '?': must be one of pending, running, failed, canceled"),
        ({"status": "dead"}, "status 'dead': is Redrive's own; a task is added as pending, running, failed, canceled"),
        ({"status": ["failed"]}, "status \"['failed']\": must be one of pending, running, failed, canceled"),
        ({"priority": "2"}, "priority 2: must be a whole number from -1 to 1"),
        ({"priority": True}, "priority True: must be a whole number from -1 to 1"),
        ({"max_retries": 1.5}, "max_retries '1.5': must be a whole number from 0 to 1000"),
        ({"max_retries": "-1"}, "max_retries -1: must be a whole number from 0 to 1000"),
        ({"max_retries": 6}, f"max_retries 6: is above the provider's cap; {CAP}"),
        ({"reason": 5}, "reason 5: must be text"),
        ({"colour": "red"}, f"column 'colour': is not known; must be one of {', '.join(COLUMNS)}"),
        ({"externalid": "5"}, "column 'externalid': is not known; did you mean external_id?"),
    ],
)  # fmt: skip
def test_a_refusal_names_field_value_and_remedy(row: dict[str, Any], words: str) -> None:
    assert refusal(**row) == words


SPREADSHEET = "a spreadsheet made a number of this id; format the column as text and export again"
FORMAT = "a program formatted this id as a number; format the column as text and export again"
INSIDE = "is what a program wrote around an id; write the id that stands inside"
ENTITY = "holds an HTML entity; write the character it stands for, or nothing"
SIGN = "begins with a sign; an id is not a number: write it without the sign"
FORMULA = "is a formula, not what it shows; export the values and not the formulas"
DISTORTED = {
    SPREADSHEET: [
        "5.91E+17", "5.91234567891234E+017", "5,91E+17", "6E+17", "123456789012345000.0", "7.34000000000000017E17",
        "7.34e17", "7,34e17", "6E17", "-7.34E17", "7.E17", "123456.0", "7.0", "7,00", "734.", "1E-5",
    ],
    FORMAT: [
        "734,000,000,000", "734 000 017", "734.000.000", "734'000", "73,40,00,000", "734,000.00", "734.000.017,00",
        "$734", "$734,000.00", "734%",
    ],
    SIGN: ["-734", "+734", "-734,5"],
    FORMULA: ["=A1", '=TEXT(A1,"0")', "=734", "=cmd|calc!A1"],
    INSIDE: ["Some(734)", "Optional[734]", "['734']", "(734,)", "{734}", "b'734'", "Decimal('734')", "np.int64(734)"],
    ENTITY: ["&nbsp;734", "734&#160;", "a&amp;b"],
    "holds more than one id; write a row for each": ["734000000000000017,734000000000000018", "7340001; 7340002"],
    "holds a quote; write the id without quotes": ['734"', '7"3"4', '""734""'],
}  # fmt: skip


@pytest.mark.parametrize(("words", "text"), [(words, text) for words, texts in DISTORTED.items() for text in texts])
def test_what_a_program_made_of_an_id_is_refused_with_the_remedy(words: str, text: str) -> None:
    """Wherever ids may be any text, which is where nothing else would notice."""
    assert refusal("desktops", text) == f"external_id {text!r}: {words}"
    assert refusal("reviews", "1", sub_id=text).endswith(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\uff15\uff19\uff11", "holds '\uff15' (U+FF15), which looks like another character; write it as 591"),
        ("\uff41\uff421", "holds '\uff41' (U+FF41), which looks like another character; write it as ab1"),
        (
            "\u0667\u0663\u0664",
            "holds '\u0667' (U+0667), which looks like another character; type it with the keys for ASCII",
        ),
        ("\u2212734", "holds '\u2212' (U+2212), which looks like another character; type it with the keys for ASCII"),
        ("a\u20131", "holds '\u2013' (U+2013), which looks like another character; type it with the keys for ASCII"),
        (
            "\u201c734\u201d",
            "holds '\u201c' (U+201C), which looks like another character; type it with the keys for ASCII",
        ),
        ("73\u00a04", "holds a character that cannot be seen (U+00A0); remove it"),
        ("73\u202f4", "holds a character that cannot be seen (U+202F); remove it"),
        ("\ufeff734", "holds a character that cannot be seen (U+FEFF); remove it"),
        ("734\u200b", "holds a character that cannot be seen (U+200B); remove it"),
        ("734\u00ad", "holds a character that cannot be seen (U+00AD); remove it"),
    ],
)
def test_characters_that_only_check_right_are_refused(text: str, words: str) -> None:
    assert refusal("desktops", text) == f"external_id {text!r}: {words}"


@pytest.mark.parametrize(
    "text",
    ['="734"', "'734", "'734'", '"734"', ' "734" ', '"\t734"', '=" 734"', "\u00a0734\u3000", 734, Decimal(734)],
)
def test_what_marks_a_cell_as_text_is_taken_off(text: object) -> None:
    assert taken('="desktops"', text, status="'failed'").external_id == "734"
    assert taken("desktops", text).external_id == "734"
    assert taken("reviews", "1", sub_id=text).sub_id == "734"


@pytest.mark.parametrize(
    "text",
    [
        "00000000590715e01591661399001911",
        "734E17",
        "a-1",
        "a.b",
        "1_234_567",
        "12.5",
        "123,4",
        "任务7",
        "a b",
        "x+1",
        "a#B",
        "#734",
        "a&b",
        "a(b",
    ],
)
def test_ids_that_are_only_unusual_are_taken(text: str) -> None:
    """A provider of somebody else's may well give such."""
    assert taken("desktops", text).external_id == text


NO_VALUE = [
    "NULL",
    "\\N",
    "NaN",
    "None",
    "N/A",
    "#N/A",
    "nan",
    "null",
    "<NA>",
    "(null)",
    "[NULL]",
    "#REF!",
    "####",
    "-",
]


@pytest.mark.parametrize(
    "word",
    [
        *NO_VALUE,
        "undefined",
        "nil",
        "NaT",
        "#VALUE!",
        "#NV",
        "#\u00a1REF!",
        "#N/D",
        "Optional.empty",
        " NULL ",
        '="NULL"',
        "-nan",
        "Inf",
    ],
)
def test_a_word_for_no_value_is_not_a_value(word: str) -> None:
    assert refusal(external_id=word) == (
        f"external_id {word!r}: is a program's word for no value; write the id the provider gave the task"
    )
    for column in ("sub_id", "kind", "origin", "status", "failed_at", "priority", "max_retries"):
        assert refusal(**{column: word}) == f"{column} {word!r}: is a program's word for no value; leave the cell empty"
    assert taken(reason=word).reason == word.strip(), "words are words"


def test_a_data_frames_gap_is_an_empty_cell() -> None:
    """``DataFrame.to_dict("records")`` has NaN in them, whatever the column holds."""
    gap = float("nan")
    row = dict.fromkeys(set(COLUMNS) - {"account", "external_id"}, gap)
    assert taken(**row) == taken()
    assert refusal(gap) == "account: is missing; must be one of phones, desktops, reviews"
    assert refusal(external_id=gap) == "external_id: is missing; it is the id the provider gave the task"


@pytest.mark.parametrize("value", ["3", "3.0", "3.00", "3,0", " 3. ", 3.0, 3, Decimal(3), "'3", '="3"'])
def test_whole_numbers_may_have_passed_through_a_column_with_gaps(value: object) -> None:
    assert taken(max_retries=value).max_retries == 3
    assert refusal(priority=value) == "priority 3: must be a whole number from -1 to 1"


@pytest.mark.parametrize("value", ["3.5", "3.05", 0.5, "1e0", "three", Decimal("0.5"), float("inf")])
def test_numbers_that_are_not_whole_are_refused(value: object) -> None:
    assert refusal(max_retries=value).endswith("must be a whole number from 0 to 1000")


@pytest.mark.parametrize("text", ['{"a": 1, "a": 2}', '{"a": {"b": 1, "c": [], "b": 1}}'])
def test_params_that_say_a_name_twice_are_refused(text: str) -> None:
    assert "twice; keep one of them" in refusal(params=text)


def test_a_moment_without_a_zone_is_utc() -> None:
    expected = datetime(2026, 8, 18, 12, tzinfo=UTC)
    written = ["2026-08-18T12:00:00", "2026-08-18 12:00:00Z", "20260818T120000", "2026-08-18T13:00+01:00"]
    zoned = expected.astimezone(timezone(timedelta(hours=5, minutes=45)))
    for given in [*written, expected, zoned, expected.replace(tzinfo=None)]:
        assert taken(failed_at=given).failed_at == expected


@pytest.mark.parametrize("number", [1755518400, 1755518400.5, "1755518400", "1755518400123", "20260818", "-5"])
def test_a_bare_number_is_no_moment(number: object) -> None:
    assert refusal(failed_at=number).endswith("a bare number is not a moment; write it as 2026-08-18T12:00:00Z")


@pytest.mark.parametrize(
    "text", ["18/08/2026", "yesterday", "2026-02-30T00:00", "0001-01-01T00:00+05:00", "9999-12-31"]
)
def test_no_moment_is_refused(text: str) -> None:
    assert refusal(failed_at=text).startswith(f"failed_at '{text}': must be ")


def test_a_reason_is_cut_and_freed_of_what_no_database_keeps() -> None:
    assert taken(reason="  a\x00b\ud800c\nd  ").reason == "ab?c\nd"
    assert taken(reason="é" * 501).reason == "é" * 500


def test_params_are_a_json_object_or_its_text() -> None:
    assert taken(params='{"a": [1, {"b": null}]}').params == taken(params={"a": [1, {"b": None}]}).params
    assert taken(params={"path": "C:\\u0000"}).params == {"path": "C:\\u0000"}, "six characters, and no NUL"


@pytest.mark.parametrize("value", ["[]", "{", "5", "NaN", [], 5, {"a": float("nan")}, {"a": {1, 2}}, {"a": "\ud800"}])
def test_params_that_are_no_json_object_are_refused(value: object) -> None:
    assert refusal(params=value).endswith('must be a JSON object, such as {"workspace_id": "123"}')


def test_params_that_no_database_keeps_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    for value in ({"a": "x\x00"}, {"a": "x" * 70_000}, deep):
        assert refusal(params=value).endswith("must be at most 64 KiB and 32 levels deep, without NUL characters")
    assert "params" in refusal(params='{"a":' * 100_000)


def test_without_accounts_nothing_is_taken() -> None:
    with pytest.raises(
        BadInput, match=r"none is configured; add \[accounts.NAME\] to redrive.toml .* start a scheduler"
    ):
        new_task({"account": "phones", "external_id": "1"}, {})


def test_what_is_no_row_is_refused() -> None:
    with pytest.raises(BadInput, match="row 'phones': must be a mapping"):
        new_task("phones", KNOWN)  # type: ignore[arg-type]


def test_an_owner_may_report_five_statuses() -> None:
    """Success cannot be added, but it can be learned."""
    assert [reported_status(word) for word in ("pending", "succeeded")] == ["pending", "succeeded"]
    with pytest.raises(BadInput, match="status 'dead': must be one of pending, running, failed, canceled, succeeded"):
        reported_status("dead")


def test_an_identity_needs_no_more_than_the_ids() -> None:
    row = {"account": "reviews", "kind": None, "external_id": 300, "sub_id": 7}
    assert identity(row, KNOWN) == ("reviews", "review_rule", "300", "7")
