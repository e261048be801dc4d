"""Whether accounts agree with each other."""

import pytest

from redrive.models.settings import check_secrets
from tests.unit.settings.conftest import DESKTOPS, PHONES, REVIEWS, Problems, Read

TABLETS = PHONES.replace("phones", "tablets")
OTHERS = TABLETS.replace("GEELARK_TOKEN", "OTHER_TOKEN")


def limits(account: str, lines: str) -> str:
    return f"[accounts.{account}.limits]\n{lines}\n"


def test_a_group_is_one_provider(problems: Problems) -> None:
    (problem,) = problems(PHONES + REVIEWS + limits("reviews", 'group = "phones"'))
    assert problem.startswith("accounts.reviews.limits.group: has another provider than accounts.phones")


@pytest.mark.parametrize("key", ["calls_per_minute", "calls_per_hour"])
def test_a_group_is_one_pace(problems: Problems, read: Read, key: str) -> None:
    phones = PHONES + limits("phones", f'group = "team"\n{key} = 50')
    (problem,) = problems(phones + OTHERS + limits("tablets", 'group = "team"'))
    assert problem.startswith(f"accounts.tablets.limits.{key}: is not that of accounts.phones")
    assert "set both to 50" in problem
    agreeing = read(phones + OTHERS + limits("tablets", f'group = "team"\n{key} = 50')).accounts
    assert agreeing["phones"].limits == agreeing["tablets"].limits


def test_naming_another_account_joins_its_group(problems: Problems) -> None:
    (problem,) = problems(PHONES + OTHERS + limits("tablets", 'group = "phones"\ncalls_per_minute = 5'))
    assert problem.startswith("accounts.tablets.limits.calls_per_minute: is not that of accounts.phones")


def test_groups_of_their_own_need_not_agree(read: Read) -> None:
    accounts = read(PHONES + OTHERS + limits("tablets", "calls_per_minute = 5")).accounts
    assert [account.limits.calls_per_minute for account in accounts.values()] == [180, 5]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (PHONES + TABLETS, "accounts.tablets.token"),
        (PHONES + TABLETS + 'base_url = "https://OPENAPI.geelark.com:443/"', "accounts.tablets.token"),
        (REVIEWS + REVIEWS.replace("reviews", "more"), "accounts.more.app_id"),
        (
            REVIEWS + REVIEWS.replace("reviews", "more") + 'base_url = "https://docflow.textin.ai/api"',
            "accounts.more.app_id",
        ),
        (DESKTOPS + DESKTOPS.replace("desktops", "more").replace("HW_SK", "OTHER"), "accounts.more.project_id"),
    ],
)
def test_one_credential_in_two_accounts_is_an_error(problems: Problems, text: str, key: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"{key}: is the same credential as accounts.")


@pytest.mark.parametrize(
    "text",
    [
        PHONES + OTHERS,
        PHONES + TABLETS + 'base_url = "https://openapi.geelark.cn"',
        DESKTOPS + DESKTOPS.replace("desktops", "more").replace("0123456789abcdef", "another"),
        PHONES + TABLETS.replace('{ env = "GEELARK_TOKEN" }', '{ file = "GEELARK_TOKEN" }'),
    ],
)
def test_another_credential_address_or_project_is_another_account(read: Read, text: str) -> None:
    assert len(read(text).accounts) == 2


def test_two_variables_with_one_value_are_found_when_they_are_read(read: Read) -> None:
    settings = read(PHONES + OTHERS)
    assert check_secrets(settings, {"GEELARK_TOKEN": "one", "OTHER_TOKEN": "two"}) == []
    (problem,) = check_secrets(settings, {"GEELARK_TOKEN": "hunter2", "OTHER_TOKEN": "hunter2"})
    assert problem.startswith("accounts.tablets.token: is the same credential as accounts.phones")
    assert "hunter2" not in problem
