"""Secrets: read late, by who needs them, and never told."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from redrive.models.errors import SettingsError
from redrive.models.providers import BUILT_IN
from redrive.models.settings import check_secrets, doubtful_secrets, load
from tests.unit.settings.conftest import DESKTOPS, PHONES, REVIEWS, Problems, Read

MARK = "Hunter2-Swordfish"


def test_loading_needs_no_secret_and_using_an_account_does(read: Read) -> None:
    account = read(REVIEWS).accounts["reviews"]
    assert account.resolve({"TI_APP_ID": "id", "TI_SECRET": MARK}) == {
        "app_id": "id",
        "secret_code": MARK,
        "auth": "headers",
        "archive_results": False,
    }
    with pytest.raises(SettingsError) as caught:
        account.resolve({"TI_APP_ID": ""})
    assert caught.value.problems == (
        "accounts.reviews.app_id: environment variable TI_APP_ID is empty; set it where this process starts",
        "accounts.reviews.secret_code: environment variable TI_SECRET is not set; set it where this process starts",
    )


@pytest.mark.parametrize(("content", "value"), [("t0ken\n", "t0ken"), ("t0ken", "t0ken"), (" t0 ken ", " t0 ken ")])
def test_a_file_is_read_beside_the_settings_without_its_last_line_break(
    read: Read, path: Path, content: str, value: str
) -> None:
    (path.parent / "secret").write_text(content)
    account = read(PHONES.replace('env = "GEELARK_TOKEN"', 'file = "secret"')).accounts["phones"]
    assert account.resolve({}) == {"token": value}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "cannot be read (not UTF-8 text)"),
        (b"hunter2\nswordfish\n", "must not be empty or hold line breaks"),
        (b"hunter2\x00", "must not be empty or hold line breaks"),
        (b"hunter2\n\n", "must not be empty or hold line breaks"),
    ],
)
def test_a_file_that_holds_no_secret_is_told(read: Read, path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (path.parent / "secret").write_bytes(content)
    settings = read(PHONES.replace('env = "GEELARK_TOKEN"', 'file = "secret"'))
    (problem,) = check_secrets(settings, {})
    assert problem.startswith("accounts.phones.token: ")
    assert words in problem
    assert "hunter2" not in problem


def test_all_accounts_are_told_at_once(read: Read) -> None:
    told = check_secrets(read(PHONES + DESKTOPS), {"HW_AK": "x"})
    assert [problem.split(":")[0] for problem in told] == ["accounts.phones.token", "accounts.desktops.secret_key"]


def test_the_process_environment_is_where_secrets_are_looked_for(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(PHONES)
    monkeypatch.setenv("GEELARK_TOKEN", "t0ken")
    assert check_secrets(settings) == []


def test_a_plain_option_kept_outside_is_checked_when_it_is_read(read: Read) -> None:
    account = read(f'{REVIEWS}workspace_id = {{ env = "SPACE" }}').accounts["reviews"]
    secrets = {"TI_APP_ID": "id", "TI_SECRET": MARK}
    assert account.resolve({**secrets, "SPACE": "123"})["workspace_id"] == "123"
    with pytest.raises(SettingsError, match=r"accounts\.reviews\.workspace_id: is not of the form") as caught:
        account.resolve({**secrets, "SPACE": MARK})
    assert MARK not in str(caught.value)


SECRETS = [(name, key) for name, c in BUILT_IN.items() for key, option in c.options.items() if option.secret]


@pytest.mark.parametrize(("provider", "key"), SECRETS)
def test_a_secret_in_the_file_is_refused_with_the_remedy_and_not_repeated(
    problems: Problems, provider: str, key: str
) -> None:
    told = problems(f'[accounts.x]\nprovider = "{provider}"\n{key} = "{MARK}"')
    (problem,) = [problem for problem in told if problem.startswith(f"accounts.x.{key}: is a secret")]
    assert 'write { env = "' in problem
    assert MARK not in "\n".join(told)


SECTIONS = ("policy", "scheduler", "worker", "breaker", "retention", "flower", "accounts", "accounts.phones")
PLACES = [
    *(f"[{section}]\n{key} = {{}}" for section in SECTIONS for key in ("base_seconds", "address", "threads")),
    *(
        f"{PHONES}[accounts.phones.{table}]\n{key} = {{}}"
        for table in ("limits", "policy")
        for key in ("group", "backoff")
    ),
    *(f"{PHONES}{key} = {{}}" for key in ("base_url", "allow_http", "app_id", "provider2", "limits", "policy")),
    *(f"{DESKTOPS}{key} = {{}}" for key in ("iam_url", "iam_user", "auth_token", "security_token")),
    *(f"{REVIEWS}{key} = {{}}" for key in ("auth", "workspace_id", "archive_results")),
    "[accounts.phones]\nprovider = {}",
    "accounts = {}",
    "x = {}",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "value", [f'"{MARK}"', f'["{MARK}"]', f'{{ value = "{MARK}" }}', f'{{ env = "{MARK}" }}', f'"https://a:{MARK}@b c"']
)
def test_a_secret_in_the_wrong_place_is_not_repeated(problems: Problems, place: str, value: str) -> None:
    """Wherever a token is pasted by mistake: it is refused, and the refusal does not spread it."""
    assert MARK not in "\n".join(problems(place.replace("{}", value, 1) if place.count("{}") else place))


@pytest.mark.parametrize("line", [f"token = {MARK}", f'token = "{MARK}', MARK, f'= "{MARK}"', f'token = "{MARK}" x'])
def test_a_secret_in_broken_toml_is_not_repeated(problems: Problems, line: str) -> None:
    assert MARK not in "\n".join(problems(f"[accounts.phones]\n{line}\n"))


@examples(deadline=None)  # a busy machine is no failure
@given(secret=st.text(st.characters(codec="ascii"), min_size=12).map(lambda text: f"{MARK}{text}"))
def test_whatever_a_secret_is_it_shows_nowhere(tmp_path_factory: pytest.TempPathFactory, secret: str) -> None:
    """In the settings, an account, its repr and what is wrong with it; a usable one comes out as it went in."""
    path = tmp_path_factory.mktemp("settings") / "redrive.toml"
    path.write_text(PHONES + REVIEWS)
    environ = {"GEELARK_TOKEN": secret, "TI_APP_ID": secret, "TI_SECRET": secret}
    settings = load(path, environ)
    told = check_secrets(settings, environ)
    assert MARK not in f"{settings!r}{settings}{settings.model_dump()}{told}"
    if secret.isprintable():
        assert settings.accounts["phones"].resolve(environ)["token"] == secret
    else:
        assert len(told) == 3


def test_the_examples_are_the_toml_they_seem() -> None:
    """The fixtures of this suite are right but for what each test breaks."""
    assert set(tomllib.loads(PHONES + DESKTOPS + REVIEWS)["accounts"]) == {"phones", "desktops", "reviews"}


# --- Secrets that hardly can be right --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('"tok"', "quote"), ("'tok'", "quote"), ("“tok”", "quote"), ("tok'", "quote"), (" tok", "space"),
        ("tok ", "space"), ("tok\r", "line break"), ("\ufefftok", "byte-order mark"), ("Bearer tok", "Authorization"),
        ("bearer: tok", "Authorization"), ("to k", "wrapped"), ("tök", "ASCII"), ("tok\u200b", "ASCII"),
        ("TOKEN='tok'", "line of an .env file"), ("${TOK}", "placeholder"), ("$TOK_1", "placeholder"),
        ("%TOK%", "placeholder"), ("{{ tok }}", "placeholder"), ("<your tok>", "placeholder"),
        ("$(cat tok)", "placeholder"), ("${TOK:-}\n", "placeholder"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("where", ["env", "file"])
def test_a_secret_that_hardly_can_be_right_is_doubted(tmp_path: Path, value: str, words: str, where: str) -> None:
    """Its key is named and never its value; it is used as it is."""
    if value.endswith("\r") and where == "file":
        return  # what a file of Windows ends with is a line break, and dropped
    (tmp_path / "token").write_bytes(value.encode())
    named = '{ env = "GEELARK_TOKEN" }' if where == "env" else f'{{ file = "{tmp_path / "token"}" }}'
    path = tmp_path / "redrive.toml"
    path.write_text(f'[accounts.phones]\nprovider = "geelark"\ntoken = {named}\n')
    (doubt,) = doubtful_secrets(load(path, {}), {"GEELARK_TOKEN": value})
    assert doubt.startswith("accounts.phones.token: ")
    assert words in doubt
    assert "tok" not in doubt.removeprefix("accounts.phones.token: ").replace("token", "")


@pytest.mark.parametrize(
    "value",
    ["tok", "Bearer", "a=b", "x" * 9000, "dG9r==", "TOKEN=abc", "bearers-of-news", "$ecret", "a${b}c", "5%off%"],
)
def test_other_secrets_are_not(tmp_path: Path, value: str) -> None:
    path = tmp_path / "redrive.toml"
    path.write_text('[accounts.phones]\nprovider = "geelark"\ntoken = { env = "GEELARK_TOKEN" }\n')
    assert doubtful_secrets(load(path, {}), {"GEELARK_TOKEN": value}) == []
