from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from redrive.models.errors import SettingsError
from redrive.models.providers import BUILT_IN, ENTRY_POINT_GROUP
from redrive.worker import providers


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_providers_are_found_by_name(name: str) -> None:
    """What is loaded has the capabilities that settings and scheduler already know."""
    assert providers.load(name).capabilities is BUILT_IN[name]


def test_unknown_providers_name_the_known_ones() -> None:
    """A typing error in the settings tells what could have been meant."""
    with pytest.raises(SettingsError, match=r"'geelrak' is not known; there are: docflow, geelark, huawei_workspace"):
        providers.load("geelrak")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Register one provider, "third", as another package would."""

    def register(value: str) -> None:
        point = EntryPoint("third", value, ENTRY_POINT_GROUP)
        monkeypatch.setattr(providers, "entry_points", lambda **wanted: EntryPoints([point]).select(**wanted))

    return register


def test_third_parties_add_providers(register: Callable[[str], None]) -> None:
    """An entry point is all it takes."""
    register("redrive.worker.providers.geelark:GeeLark")
    assert providers.load("third").capabilities is BUILT_IN["geelark"]


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_no_package_takes_the_place_of_one_of_ours(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its code would get the credentials of our account."""
    point = EntryPoint(name, "tests.unit.providers.test_registry:test_third_parties_add_providers", ENTRY_POINT_GROUP)
    monkeypatch.setattr(providers, "entry_points", lambda **wanted: EntryPoints([point]).select(**wanted))
    assert providers.load(name).__module__ == f"redrive.worker.providers.{name}"


@pytest.mark.parametrize("value", ["no_such_module:Provider", "redrive.worker.providers.geelark:NoSuchClass"])
def test_a_provider_that_cannot_be_imported_is_a_setting_error(register: Callable[[str], None], value: str) -> None:
    """The message says where it should have been."""
    register(value)
    with pytest.raises(SettingsError, match=f"registered as {value}"):
        providers.load("third")
