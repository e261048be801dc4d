"""Thousands of accounts: what they cost grows with their number, and no faster."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from redrive.models import providers
from redrive.models.errors import SettingsError
from redrive.models.settings import Settings, check_secrets, doubtful_secrets
from tests.unit.settings.conftest import DESKTOPS, PHONES, REVIEWS, Read
from tests.unit.settings.test_accounts import Elsewhere

FEW, MANY = 60, 240
"""Four times as many: what grows with their number takes four times the steps, what compares them all sixteen times."""

TEXTS = {
    "tokens": PHONES,
    "keys and projects": DESKTOPS,
    "application ids": REVIEWS,
    "limits and policies of their own": f"{PHONES}[accounts.phones.limits]\nbatch_size = 50\n[accounts.phones.policy]\n"
    "max_retries = 3\n",
    "one group": f'{REVIEWS}[accounts.reviews.limits]\ngroup = "team"\n',
}
WRONG = {
    "unknown keys": f"{PHONES}colour = 1\n",
    "keys that are missing": '[accounts.phones]\nprovider = "geelark"\n',
    "secrets in the file": '[accounts.phones]\nprovider = "geelark"\ntoken = "secret"\n',
    "one credential": PHONES.replace("TOKEN", "SAME"),
}


def accounts(text: str, number: int) -> str:
    """So many like this one, each with a credential of its own unless the text says SAME."""
    name = text.partition("[accounts.")[2].partition("]")[0]
    return "".join(
        text.replace(f"accounts.{name}", f"accounts.{name}{n}")
        .replace('env = "', f'env = "N{n}_')
        .replace(f"N{n}_GEELARK_SAME", "GEELARK_SAME")
        for n in range(number)
    )


@contextmanager
def steps() -> Iterator[list[int]]:
    """Counts function calls: the same on every machine, however busy."""
    count = [0]

    def note(_frame: object, event: str, _argument: object) -> None:
        count[0] += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        yield count
    finally:
        sys.setprofile(None)


def steps_of(task: Callable[[], object]) -> int:
    with steps() as count, suppress(SettingsError):
        task()
    return count[0]


@pytest.mark.parametrize("text", [*TEXTS.values(), *WRONG.values()], ids=[*TEXTS, *WRONG])
def test_loading_takes_as_much_longer_as_there_are_more_accounts(read: Read, text: str) -> None:
    """Also where something is wrong with each of them."""
    read(PHONES)  # what is made once is made
    few, many = (steps_of(lambda n=n: read(accounts(text, n))) for n in (FEW, MANY))  # type: ignore[misc]
    assert many < 4.4 * few


@pytest.mark.parametrize("what", [check_secrets, doubtful_secrets])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_so_do_the_secrets(read: Read, text: str, what: Callable[[Settings, Mapping[str, str]], object]) -> None:
    """Those of the values, which workers compare when they start."""
    few, many = (read(accounts(text, n)) for n in (FEW, MANY))
    environ = {name: f"value-of-{name}" for name in many.secret_variables}
    assert what(many, environ) == []
    assert steps_of(lambda: what(many, environ)) < 4.4 * steps_of(lambda: what(few, environ))


def test_all_that_share_a_credential_name_the_first(read: Read) -> None:
    with pytest.raises(SettingsError) as caught:
        read(accounts(WRONG["one credential"], 4))
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        f"accounts.phones{n}.token: is the same credential as accounts.phones0, at the same address" for n in (1, 2, 3)
    ]


def test_accounts_without_a_policy_of_their_own_share_one(read: Read) -> None:
    """Those of one provider: another one's cap is another."""
    own = f"{REVIEWS}[accounts.reviews.policy]\nmax_retries = 1\n".replace("reviews", "own")
    text = "[policy]\nmax_retries = 9\n" + accounts(PHONES, 2) + accounts(REVIEWS, 1) + own
    found = read(text).accounts
    assert found["phones0"].policy is found["phones1"].policy
    assert [found[name].policy.max_retries for name in ("phones0", "reviews0", "own")] == [5, 9, 1]


def test_installed_packages_are_searched_once_for_a_provider(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    points = EntryPoints([EntryPoint("elsewhere", f"{Elsewhere.__module__}:Elsewhere", "redrive.providers")])
    searches = []

    def search(**wanted: str) -> EntryPoints:
        searches.append(wanted["name"])
        return points.select(**wanted)

    monkeypatch.setattr(providers, "entry_points", search)
    text = "".join(f'[accounts.x{n}]\nprovider = "elsewhere"\nzone = "a{n}"\n' for n in range(20))
    assert len(read(text + PHONES).accounts) == 21
    assert searches == ["elsewhere"]
