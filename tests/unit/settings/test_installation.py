"""The name of an installation: given, or its database's."""

from pathlib import Path

import pytest

from redrive.models.settings import Settings, load
from redrive.models.settings.installation import of_database
from tests.unit.settings.conftest import Problems, Read


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql+psycopg://u:p@h/redrive", "redrive"),
        ("postgresql+psycopg://other@pooler:6432/redrive?sslmode=require", "redrive"),
        ("postgresql+psycopg://u@h/app_staging-2", "app_staging-2"),
        ("postgresql+psycopg://u@h/redrive?schema=staging", "redrive-staging"),
        ("postgresql+psycopg://u@/redrive?host=a,b&schema=tenant_1", "redrive-tenant_1"),
    ],
)
def test_a_database_gives_its_name_by_whatever_address(url: str, name: str) -> None:
    assert of_database(url) == name


@pytest.mark.parametrize("name", ["Redrive", "re drive", "任务", "x" * 80, "a.b", "-"])
def test_a_name_that_no_queue_may_have_is_made_one(name: str) -> None:
    """And is still unlike that of its neighbours; what comes out is accepted as a setting."""
    made = of_database(f"postgresql+psycopg://u@h/{name}")
    assert made != of_database(f"postgresql+psycopg://u@h/{name}x")
    assert Settings.model_validate({"broker": {"installation": made}}).broker.installation == made


def test_files_of_the_same_name_are_two_installations(tmp_path: Path) -> None:
    one, two = (of_database(f"sqlite:///{tmp_path}/{each}/redrive.db") for each in "ab")
    assert one != two
    assert one == of_database(f"sqlite:///{tmp_path}/b/../a/redrive.db")


def test_a_given_name_wins_and_the_environments_before_the_files(read: Read) -> None:
    text = '[broker]\ninstallation = "file"'
    assert read("", {"REDRIVE_DATABASE_URL": "postgresql://h/d"}).queues.of("geelark") == "redrive.d.geelark"
    assert read(text, {}).queues.of("geelark") == "redrive.file.geelark"
    named = read(text, {"REDRIVE_INSTALLATION": "environment"}).queues
    assert (named.of("geelark"), named.requests) == ("redrive.environment.geelark", "redrive.environment.requests")


@pytest.mark.parametrize("name", ["", "Prod", "a.b", "a b", "-a", "x" * 41, "a*"])
def test_other_names_are_refused(problems: Problems, name: str) -> None:
    (problem,) = problems(f'[broker]\ninstallation = "{name}"')
    assert problem.startswith("broker.installation: must be 1 to 40 lower-case letters")


@pytest.mark.parametrize(
    "name",
    [
        "REDRIVE_DATABASE_PORT", "REDRIVE_DATABASE_SERVICE_HOST", "REDRIVE_DATABASE_PORT_5432_TCP",
        "REDRIVE_BROKER_PORT_6379_TCP_ADDR", "REDRIVE_BROKER_SERVICE_PORT_REDIS", "REDRIVE_HOME_PORT",
    ],
)  # fmt: skip
def test_service_links_of_kubernetes_are_no_misspellings(tmp_path: Path, name: str) -> None:
    (tmp_path / "redrive.toml").touch()
    assert load(tmp_path / "redrive.toml", {name: "tcp://10.0.0.1:1"}).warnings == ()
    misspelled = load(tmp_path / "redrive.toml", {"REDRIVE_BROKER_UR": "x", "REDRIVE_DATABAS_URL": "x"}).warnings
    assert len(misspelled) == 2
