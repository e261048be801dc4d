"""The file itself, and the environment."""

from pathlib import Path

import pytest

from redrive.models.errors import SettingsError
from redrive.models.settings import Settings, hide_password, load
from redrive.models.settings.environment import NAMES
from tests.unit.settings.conftest import PHONES, Problems, Read


def test_the_file_is_the_one_given_then_the_one_named_then_redrive_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for threads, name in enumerate(("redrive.toml", "named.toml", "given.toml"), start=1):
        (tmp_path / name).write_text(f"[worker]\nthreads = {threads}")
    assert load(environ={}).worker.threads == 1
    assert load(environ={"REDRIVE_CONFIG": "named.toml"}).worker.threads == 2
    assert load(Path("given.toml"), {"REDRIVE_CONFIG": "named.toml"}).worker.threads == 3


def test_the_environment_is_that_of_the_process_unless_another_is_given(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.touch()
    monkeypatch.setenv("REDRIVE_BROKER_URL", "amqp://localhost//")
    assert load(path).environment.broker_url == "amqp://localhost//"
    assert load(path, {}).environment.broker_url is None


def test_a_missing_file_is_named_with_the_remedy(path: Path) -> None:
    with pytest.raises(SettingsError, match="redrive init") as caught:
        load(path, {})
    assert caught.value.problems[0].startswith(f"{path}: does not exist")


def test_who_needs_no_account_needs_no_file_but_is_told(path: Path) -> None:
    settings = load(path, {"REDRIVE_HOME": "/srv/redrive"}, required=False)
    assert settings.environment.home == Path("/srv/redrive")
    assert settings.accounts == {}
    (warning,) = settings.warnings
    assert warning.startswith(f"{path}: does not exist")


@pytest.mark.parametrize(
    ("text", "line"), [("[policy]\nfactor = \n", 2), ("[policy]\n\n\nfactor = [1,\n", 5), ("x", 1), ("a=1\na=2\n", 2)]
)
def test_a_mistake_in_the_toml_is_told_with_file_and_line(path: Path, problems: Problems, text: str, line: int) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"{path}:{line}: is not TOML; ")


def test_a_file_that_is_no_text_is_told(path: Path) -> None:
    path.write_bytes(b"[policy]\n# \xff")
    with pytest.raises(SettingsError, match="is not UTF-8"):
        load(path, {})


def test_a_directory_instead_of_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path, {}, required=False)


def test_a_byte_order_mark_is_no_mistake(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf[worker]\nthreads = 7")
    assert load(path, {}).worker.threads == 7


def test_without_variables_everything_is_embedded(read: Read) -> None:
    environment = read("").environment
    assert environment.database_url is None
    assert environment.broker_url is None
    assert (environment.config, environment.home) == (Path("redrive.toml"), Path(".redrive"))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        (
            "postgresql+psycopg://u:p%40x@h:5433/d?sslmode=require",
            "postgresql+psycopg://u:p%40x@h:5433/d?sslmode=require",
        ),
        ("sqlite:///redrive.db", "sqlite:///redrive.db"),
        ("sqlite:////var/lib/redrive.db", "sqlite:////var/lib/redrive.db"),
    ],
)
def test_databases_that_are_taken(read: Read, given: str, used: str) -> None:
    assert read("", {"REDRIVE_DATABASE_URL": given}).environment.database_url == used


@pytest.mark.parametrize(
    "url",
    [
        "mysql://h/d",
        "postgresql+asyncpg://h/d",
        "postgresql+psycopg2://h/d",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite+aiosqlite:///x",
        "postgresql://u:hunter2@h:port/d",
        "redrive.db",
    ],
)
def test_other_databases_are_refused_naming_the_two(problems: Problems, url: str) -> None:
    (problem,) = problems("", {"REDRIVE_DATABASE_URL": url})
    assert problem.startswith("REDRIVE_DATABASE_URL: ")
    assert "sqlite:///PATH" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    "url", ["redis://h/0", "sentinel://a;sentinel://b?master_name=m", "amqps://u:p@h//", "sqs://", "confluentkafka://h"]
)
def test_any_broker_will_do(read: Read, url: str) -> None:
    assert read("", {"REDRIVE_BROKER_URL": url}).environment.broker_url == url


def test_a_broker_without_scheme_is_refused(problems: Problems) -> None:
    (problem,) = problems("", {"REDRIVE_BROKER_URL": "localhost:6379"})
    assert problem.startswith("REDRIVE_BROKER_URL: must be an address")


@pytest.mark.parametrize("name", NAMES)
def test_a_variable_set_and_empty_is_no_way_to_ask_for_the_embedded_parts(problems: Problems, name: str) -> None:
    (problem,) = problems("", {name: ""})
    assert problem == f"{name}: is empty; give it a value or unset it"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"x.toml"', "is in quotes; remove them"),
        ("'/srv/x'", "is in quotes; remove them"),
        ("x'", "is in quotes; remove them"),
        (" x.toml", "begins or ends with a space or line break; remove it"),
        ("x.toml\r", "begins or ends with a space or line break; remove it"),
    ],
)
@pytest.mark.parametrize("name", ["REDRIVE_HOME", "REDRIVE_CONFIG"])
def test_what_an_env_file_left_around_a_path_is_refused(problems: Problems, name: str, value: str, words: str) -> None:
    """Else an empty home and no settings would be found there, without a word."""
    assert problems(PHONES, {name: value}) == (f"{name}: {words}",)


def test_a_misspelled_variable_is_a_warning(read: Read) -> None:
    (warning,) = read("", {"REDRIVE_DATABSE_URL": "x", "REDRIVE_PORT_5555_TCP": "x", "DATABASE_URL": "x"}).warnings
    assert warning == "REDRIVE_DATABSE_URL: is not read; did you mean REDRIVE_DATABASE_URL?"


def test_a_variable_that_an_account_reads_is_none(read: Read) -> None:
    text = PHONES.replace("GEELARK_TOKEN", "REDRIVE_HOMES")
    assert read(text, {"REDRIVE_HOMES": "x"}).warnings == ()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:hunter2@h:6379/0", "redis://:***@h:6379/0"),
        ("amqp://u:hun@ter2@h//", "amqp://u:***@h//"),
        ("amqp://u:hun/t?er#2@h//", "amqp://u:***@h//"),
        ("sentinel://:hunter2@a;sentinel://:hunter2@b", "sentinel://:***@a;sentinel://:***@b"),
        (
            "postgresql://h/d?user=u&password=hunter2&sslmode=require",
            "postgresql://h/d?user=u&password=***&sslmode=require",
        ),
        ("rediss://h?ssl_keyfile=x&Password=hunter2", "rediss://h?ssl_keyfile=***&Password=***"),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
    ],
)
def test_a_shown_address_has_no_password(url: str, shown: str) -> None:
    assert hide_password(url) == shown


def test_the_settings_shown_have_no_password(read: Read) -> None:
    environ = {"REDRIVE_DATABASE_URL": "postgresql://u:hunter2@h/d", "REDRIVE_BROKER_URL": "redis://:hunter2@h"}
    settings = read("", environ)
    assert isinstance(settings, Settings)
    assert "hunter2" not in f"{settings!r} {settings} {settings.environment!r} {settings.environment}"
