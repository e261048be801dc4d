"""What failed alike has one code, whatever ids, numbers, moments and hosts its words hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.failure import LONGEST, failure_code, signature

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=300)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("device 5912 offline", "device 77 offline"),
        ("no route to https://a.example/x?y=1", "no route to http://b.example:8080/z"),
        ("job 1f0c9a7e-5a4e-4f0e-9f6e-2b6e0a3d1c22 died", "job 00000000-5a4e-4f0e-9f6e-2b6e0a3d1c22 died"),
        ("checksum 9f86d081884c7d65 differs", "checksum 60303ae22b998861 differs"),
        ('file "a b.csv" not found', 'file "other.csv" not found'),
        ("expired at 2026-11-30T14:02:11Z", "expired at 2026-12-01 09:00:00.123+08:00"),
        ("read from db-7.eu.example.com failed", "read from db-12.us.example.net failed"),
        ("App  Crashed\n(code 3)", "app crashed (code 17)"),
        ("took 3.5 s of 2,000", "took 12 s of 9"),
        ("rows 1, 2, 3 bad", "rows 9 bad"),
    ],
)
def test_what_differs_from_task_to_task_does_not_count(one: str, other: str) -> None:
    assert signature(one) == signature(other) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [("device offline", "device busy"), ("out of memory", "out of disk"), ("登录失败", "设备离线")],
)
def test_what_failed_otherwise_has_another_code(one: str, other: str) -> None:
    assert signature(one) != signature(other)


@given(ANY_TEXT)
def test_any_text_has_a_code_that_both_databases_store(words: str) -> None:
    code = signature(words)
    assert len(code) <= LONGEST
    assert code.isprintable()
    assert code == code.strip()
    assert bool(code) == any(each.isprintable() and not each.isspace() for each in words)
    assert failure_code(words, "").isprintable()
    assert len(failure_code(words, "")) <= LONGEST


@given(ANY_TEXT)
def test_a_signature_of_a_signature_is_itself(words: str) -> None:
    assert signature(signature(words)) == signature(words)


@given(st.integers(0, 10**18), st.integers(0, 10**18))
def test_numbers_never_make_a_difference(one: int, other: int) -> None:
    words = "task {} of phone {} failed"
    assert signature(words.format(one, other)) == signature(words.format(other, one))


def test_the_providers_code_comes_first() -> None:
    assert failure_code("20003", "device 5912 offline") == "20003"
    assert failure_code("", "device 5912 offline") == "device <n> offline"
    assert failure_code("", " \n ") == ""


def test_merges_give_one_name_to_several() -> None:
    merges = {"20003": "offline", "Out of memory": "oom"}
    assert failure_code("20003", "", merges) == "offline"
    assert failure_code("", "worker 7: out of memory", merges) == "oom"
    assert failure_code("137", "killed: out of memory", merges) == "oom"
    assert failure_code("20004", "disk full", merges) == "20004"
