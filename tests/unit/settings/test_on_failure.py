"""What is different for tasks that failed in one way: which words are taken, and what they change."""

from pathlib import Path

import pytest

from redrive.models.errors import SettingsError
from redrive.models.rules import rules_of
from redrive.models.settings import load

FILE = """
[policy]
max_retries = 4
on_failure = {{ {general} }}
[accounts.phones]
provider = "geelark"
token = {{ env = "GEELARK_TOKEN" }}
[accounts.phones.policy]
{policy}
[accounts.phones.failures]
{failures}
"""


def settings(tmp_path: Path, general: str = "", policy: str = "", failures: str = "") -> object:
    path = tmp_path / "redrive.toml"
    path.write_text(FILE.format(general=general, policy=policy, failures=failures))
    return load(environ={"REDRIVE_CONFIG": str(path), "GEELARK_TOKEN": "t"})


def test_an_accounts_own_rules_replace_the_general_ones(tmp_path: Path) -> None:
    found = settings(tmp_path, '"1" = "never"', 'on_failure = { "20201" = { max_retries = 1, base_seconds = 900 } }')
    policy = rules_of(found)["phones"].policy  # type: ignore[arg-type]
    assert policy.rule_of("1") is None
    changed = policy.of_failure("20201")
    assert (changed.max_retries, changed.base_seconds, changed.max_seconds) == (1, 900, policy.max_seconds)
    assert policy.of_failure("20202") is policy.of_failure(None) is policy.of_failure("") is policy


def test_words_stand_for_rules(tmp_path: Path) -> None:
    policy = rules_of(settings(tmp_path, '"a" = "never", "b" = "retry"'))["phones"].policy  # type: ignore[arg-type]
    assert [policy.on_failure[code].never for code in "ab"] == [True, False]
    assert policy.of_failure("b") is policy


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('"2" = "nevr"', "must be retry or never, or a table such as { max_retries = 1 }"),
        ('"2" = 3', "policy.on_failure.2"),
        ('"2" = { max_retries = 6 }', "is above the provider's cap"),
        ('"2" = { max_retrys = 1 }', "max_retrys"),
        ('"2" = { never = true }', 'write "never" instead of the table'),
        ('"2" = { base_seconds = 0 }', "base_seconds"),
        (f'"{"x" * 65}" = "never"', "64"),
        ('"" = "never"', "on_failure"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, rule: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, policy=f"on_failure = {{ {rule} }}")
    assert "accounts.phones.policy" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("line", ['"oom" = 3', '"oom" = ""', f'"oom" = "{"x" * 65}"', '"oom" = "a\\u0007"'])
def test_a_failure_code_is_text(tmp_path: Path, line: str) -> None:
    with pytest.raises(SettingsError, match=r"accounts\.phones\.failures\.oom: must be a failure code"):
        settings(tmp_path, failures=line)


def test_rules_know_what_is_merged(tmp_path: Path) -> None:
    found = settings(tmp_path, failures='"out of memory" = "oom"')
    assert rules_of(found)["phones"].failures == {"out of memory": "oom"}  # type: ignore[arg-type]
