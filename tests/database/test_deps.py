"""What a worker process builds at its start."""

from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from redrive.models.settings import load
from redrive.worker import deps, providers

ACCOUNT = '[accounts.{0}]\nprovider = "{1}"\n{2} = {{ env = "ONE_{0}" }}\n{3}'
SECRET_CODE = 'secret_code = {{ env = "TWO_{0}" }}\n'
PROVIDERS = {
    "geelark": EntryPoint("geelark", "redrive.worker.providers.geelark:GeeLark", "redrive.providers"),
    "docflow": EntryPoint("docflow", "redrive.worker.providers.docflow:DocFlow", "redrive.providers"),
}


def settings_text(phones: int, reviews: int) -> str:
    return "".join(ACCOUNT.format(f"phones{n}", "geelark", "token", "") for n in range(phones)) + "".join(
        ACCOUNT.format(f"reviews{n}", "docflow", "app_id", SECRET_CODE.format(f"reviews{n}")) for n in range(reviews)
    )


@pytest.mark.parametrize(("phones", "reviews"), [(1, 1), (30, 1), (20, 20)])
def test_installed_packages_are_searched_once_for_each_provider(
    new_sqlite_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phones: int, reviews: int
) -> None:
    """However many accounts it has: each search takes milliseconds."""
    searches: list[str] = []

    def search(**wanted: str) -> EntryPoints:
        searches.append(wanted["name"])
        return EntryPoints(PROVIDERS.values()).select(**wanted)

    monkeypatch.setattr(providers, "BUILT_IN", {})  # as if all were of other packages
    monkeypatch.setattr(providers, "entry_points", search)
    config = tmp_path / "redrive.toml"
    config.write_text(settings_text(phones, reviews))
    settings = load(config, {})
    environ = {name: f"value-of-{name}" for name in settings.secret_variables}
    built = deps.build(settings, database_url=new_sqlite_database(), broker_url=None, environ=environ)
    try:
        assert sorted(searches) == ["docflow", "geelark"]
        assert len(built.senders) == phones + reviews
        assert {type(sender.provider).__name__ for sender in built.senders.values()} == {"GeeLark", "DocFlow"}
    finally:
        built.close()
