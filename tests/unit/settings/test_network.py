"""How an account's calls leave this machine: its proxy, its authorities, and credentials that no header can carry."""

from pathlib import Path

import pytest

from redrive.models.settings import check_secrets, unread_proxies
from redrive.models.settings.network import checked_proxy, passwords_in
from redrive.models.settings.secrets import FromEnv
from tests.unit.settings.conftest import DESKTOPS, PHONES, REVIEWS, Problems, Read

PROXY = "http://proxy.example.com:3128"


def test_there_is_none_unless_one_is_named(read: Read) -> None:
    account = read(PHONES).accounts["phones"]
    assert (account.ca_file, account.proxy, account.proxy_url({})) == (None, None, "")


@pytest.mark.parametrize(
    "proxy", [PROXY, "https://10.0.0.1:8443", "http://[::1]:3128", "HTTP://Proxy.Example.com:3128/"]
)
def test_a_proxy_is_an_address(read: Read, proxy: str) -> None:
    account = read(f'{PHONES}proxy = "{proxy}"').accounts["phones"]
    assert account.proxy_url({}) == proxy.lower().rstrip("/")


@pytest.mark.parametrize(
    "proxy", ['""', "5", "true", '"proxy"', '"socks5://h:1"', '"http://h:1/path"', '"http://h:1?a=b"']
)
def test_what_is_not_one_is_refused(problems: Problems, proxy: str) -> None:
    (problem,) = problems(f"{PHONES}proxy = {proxy}")
    assert problem == 'accounts.phones.proxy: must be an address such as "http://proxy.example.com:3128"'


def test_one_with_a_password_does_not_belong_in_the_file(problems: Problems) -> None:
    """The refusal does not repeat it."""
    (problem,) = problems(f'{PHONES}proxy = "http://user:hidden@proxy.example.com:3128"')
    assert problem.startswith("accounts.phones.proxy: holds a password; write { env =")
    assert "hidden" not in problem


@pytest.mark.parametrize("address", ["http://user:pass%2Fword@proxy.example.com:3128", "http://user:a:b@h:1", PROXY])
def test_it_is_kept_where_secrets_are(read: Read, address: str) -> None:
    settings = read(f'{PHONES}proxy = {{ env = "PHONES_PROXY" }}')
    account, environ = settings.accounts["phones"], {"GEELARK_TOKEN": "t", "PHONES_PROXY": address}
    assert account.proxy == FromEnv("PHONES_PROXY")
    assert account.proxy_url(environ) == address
    assert not check_secrets(settings, environ)
    assert address not in repr(settings)


@pytest.mark.parametrize(
    "address", [None, "", "nonsense", "http://user:gehe\u00efm@h:1", "http://user:hidden@h:1/path"]
)
def test_one_that_is_missing_or_wrong_there_is_told_without_it(read: Read, address: str | None) -> None:
    settings = read(f'{PHONES}proxy = {{ env = "PHONES_PROXY" }}')
    environ = {"GEELARK_TOKEN": "t"} | ({} if address is None else {"PHONES_PROXY": address})
    (problem,) = check_secrets(settings, environ)
    assert problem.startswith("accounts.phones.proxy: ")
    assert "hidden" not in problem


def test_the_password_of_a_proxy_is_known_as_it_is_sent() -> None:
    assert passwords_in("http://user:pass%2Fword@h:1") == ["pass/word"]
    assert passwords_in(PROXY) == passwords_in("") == []
    assert checked_proxy(PROXY) == PROXY


def test_a_file_of_authorities_is_found_from_the_settings_file(read: Read, path: Path) -> None:
    """Its absence is no mistake here: only workers need it."""
    assert read(f'{PHONES}ca_file = "tls/ca.pem"').accounts["phones"].ca_file == path.parent / "tls/ca.pem"
    assert read(f'{PHONES}ca_file = "/etc/ca.pem"').accounts["phones"].ca_file == Path("/etc/ca.pem")


@pytest.mark.parametrize("value", ['""', "5", "true", '"a\\nb"', '["a"]'])
def test_what_is_no_path_is_refused(problems: Problems, value: str) -> None:
    (problem,) = problems(f"{PHONES}ca_file = {value}")
    assert problem.startswith("accounts.phones.ca_file: must be the path of a PEM file")


# --- What goes into headers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    ["\u201cgl-4711-secret\u201d", "\u2018quoted\u2019", "gl\u2013dash", "schlüssel", "トークン", "gl\u00a0blank"],
)
@pytest.mark.parametrize(
    ("text", "key", "variables"),
    [
        (PHONES, "token", {"GEELARK_TOKEN": ""}),
        (REVIEWS, "secret_code", {"TI_SECRET": "", "TI_APP_ID": "app"}),
        (DESKTOPS, "access_key", {"HW_AK": "", "HW_SK": "sk"}),
    ],
)
def test_a_credential_that_no_header_can_carry_is_refused(
    read: Read, text: str, key: str, variables: dict[str, str], value: str
) -> None:
    """Before the first call; the words do not repeat it."""
    environ = {name: known or value for name, known in variables.items()}
    (problem,) = check_secrets(read(text), environ)
    assert f".{key}: holds " in problem or f".{key}: must not" in problem
    assert value not in problem


def test_a_password_that_goes_into_a_body_may_be_anything(read: Read) -> None:
    """IAM takes it as JSON."""
    iam = """
    [accounts.desktops]
    provider = "huawei_workspace"
    region = "ap-southeast-1"
    project_id = "p"
    iam_user = "Jürgen"
    iam_domain = "d"
    iam_password = { env = "HW_IAM_PASSWORD" }
    """
    assert not check_secrets(read(iam), {"HW_IAM_PASSWORD": "geheim\u2013ß"})


@pytest.mark.parametrize("names", [["HTTPS_PROXY"], ["http_proxy"], ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]])
def test_proxies_of_the_environment_are_said(read: Read, names: list[str]) -> None:
    """In one line, without their addresses, which may hold a password; not where each account has its own."""
    environ = dict.fromkeys(names, "http://user:secret@proxy:3128")
    words = "calls to the providers ignore it; where they need a proxy, set proxy in [accounts.NAME]"
    assert unread_proxies(read(PHONES), environ) == f"{', '.join(names)}: {words}"
    assert unread_proxies(read(PHONES + 'proxy = "http://proxy:3128"\n'), environ) == ""
    assert unread_proxies(read(PHONES), {"HTTPS_PROXY": "", "NO_PROXY": "x"}) == ""
