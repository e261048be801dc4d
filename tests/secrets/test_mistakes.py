"""What people get wrong with secrets is told without them."""

import json
import traceback
from pathlib import Path
from urllib.parse import quote

import pytest
from typer.testing import CliRunner

from redrive import Client
from redrive.cli import app
from redrive.models.errors import SettingsError, Unreachable
from redrive.models.settings import check_secrets, load
from redrive.models.settings.urls import checked_broker_url, checked_database_url
from redrive.models.sql.db import Database
from redrive.worker.providers.base import Account, Answer, Exchange, Token
from redrive.worker.providers.huawei_workspace import HuaweiWorkspace
from tests.support.marks import needles, secret

SECRET = secret("a mistake")
WORD = "k1V3" * 8
"""A secret that could be a variable's name."""

GEELARK = '[accounts.phones]\nprovider = "geelark"\n'
HUAWEI = '[accounts.desktops]\nprovider = "huawei_workspace"\nregion = "ap-southeast-1"\nproject_id = "p"\n'
IN_THE_WRONG_PLACE = [
    GEELARK + "token = {secret}",
    GEELARK + "token = [{secret}]",
    GEELARK + "token = {{ env = {secret} }}",
    GEELARK + "token = {{ env = {word} }}",
    GEELARK + "token = {{ value = {secret} }}",
    GEELARK + 'app_id = "a"\napi_key = {secret}',
    GEELARK + 'token = {{ env = "TOKEN" }}\nbase_url = {secret}',
    GEELARK + 'token = {{ env = "TOKEN" }}\nbase_url = "https://user:{word_only}@host/"',
    GEELARK + 'token = {{ env = "TOKEN" }}\n[accounts.phones.limits]\nbatch_size = {secret}',
    GEELARK + "token = {word_only}",
    HUAWEI + "access_key = {secret}\nsecret_key = {secret}\nsecurity_token = {word}",
    HUAWEI + 'iam_user = "u"\niam_domain = "d"\niam_password = {secret}',
    HUAWEI + 'auth_token = {{ env = "TOKEN" }}\niam_url = {secret}',
    "[flower]\naddress = {secret}",
    "[policy]\nbase_seconds = {secret}",
]


@pytest.mark.parametrize("text", IN_THE_WRONG_PLACE)
def test_a_secret_in_the_file_is_not_repeated(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by the settings nor by the commands that read them."""
    path = tmp_path / "redrive.toml"
    path.write_text(text.format(secret=json.dumps(SECRET), word=json.dumps(WORD), word_only=WORD))
    for name, value in {"REDRIVE_CONFIG": str(path), "REDRIVE_HOME": str(tmp_path), "TOKEN": "t"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        raise SettingsError(check_secrets(load()))
    told = [str(raised.value), repr(raised.value), *traceback.format_exception(raised.value)]
    for command in (["doctor"], ["worker"], ["up", "--no-flower"]):
        monkeypatch.setenv("REDRIVE_BROKER_URL", "redis://127.0.0.1:1")
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2, result.output
        told.append(result.output)
    _assert_silent("\n".join(told))


@pytest.mark.parametrize("where", ["user", "parameter"])
def test_a_database_that_does_not_answer_is_named_without_its_password(where: str, tmp_path: Path) -> None:
    """Also where the password is a parameter, as PostgreSQL allows."""
    password = quote(SECRET, safe="")
    url = {
        "user": f"postgresql+psycopg://redrive:{password}@/name?host={tmp_path}",
        "parameter": f"postgresql+psycopg://redrive@/name?host={tmp_path}&password={password}",
    }[where]
    database = Database(url)
    with pytest.raises(Unreachable) as raised, database.transaction():
        pass
    client = Client(url)
    with pytest.raises(Exception, match=r"does not exist|No such file") as seen:
        client.get(1)
    database.close()
    client.close()
    result = CliRunner().invoke(app, ["status"], env={"REDRIVE_DATABASE_URL": url, "REDRIVE_HOME": str(tmp_path)})
    told = [
        repr(database),
        repr(client),
        *(line for each in (raised, seen) for line in traceback.format_exception(each.value)),
    ]
    assert all("postgresql+psycopg://redrive" in each for each in (result.output, *told[:2]))
    assert "***" in told[0]
    _assert_silent("\n".join([*told, result.output]))


READABLE = {("postgresql+psycopg", each) for each in "/?#["} | {("redis", "@"), ("amqp", "@")}
"""Where the last @ is looked for, or the password may hold anything but one."""


@pytest.mark.parametrize("letter", "@/?#[")
@pytest.mark.parametrize("kind", ["postgresql+psycopg", "redis", "amqp"])
def test_a_password_with_an_unescaped_letter_is_not_shown_as_something_else(
    kind: str, letter: str, tmp_path: Path
) -> None:
    """What follows the letter would be taken for a host, a port or a path, and said when it is not found."""
    check = checked_database_url if kind.startswith("postgres") else checked_broker_url
    url = f"{kind}://redrive:Qabc{letter}{WORD}@127.0.0.1:1/7"
    if (kind, letter) not in READABLE:
        with pytest.raises(ValueError, match="special characters of a password as %XX") as raised:
            check(url)
        _assert_silent(str(raised.value))
        return
    text = check(url)
    (tmp_path / "redrive.toml").touch()
    env = {"REDRIVE_CONFIG": str(tmp_path / "redrive.toml"), "REDRIVE_HOME": str(tmp_path)}
    env["REDRIVE_DATABASE_URL" if check is checked_database_url else "REDRIVE_BROKER_URL"] = text
    result = CliRunner().invoke(app, ["doctor"], env=env)
    assert "redrive:***@127.0.0.1:1/7" in result.output
    _assert_silent(result.output)


def test_what_passes_through_a_provider_does_not_show_its_secrets() -> None:
    """Accounts, calls, answers and tokens, should anybody print one."""
    options = {"iam_user": "u", "iam_domain": "d", "iam_password": SECRET, "project_id": "p", "region": "r"}
    account = Account("desktops", "https://localhost", options)
    provider = HuaweiWorkspace(account)
    exchange = Exchange(sent=True, answer=Answer(201, {"x-subject-token": SECRET}, SECRET.encode()))
    values = [account, provider, provider.login(), exchange, provider.token(exchange), provider.auth(SECRET)]
    assert isinstance(provider.token(exchange), Token)
    _assert_silent("\n".join(f"{each!r} {each}" for each in values))


def _assert_silent(text: str) -> None:
    assert text
    assert not [piece for piece in {*needles(SECRET), WORD} if piece in text], text
