"""One account: its provider's keys, its address, its limits and its policy."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from redrive.models import providers
from redrive.models.capabilities import Capabilities, Kind, Option
from redrive.models.settings import check_secrets
from redrive.models.settings.secrets import FromEnv, FromFile
from tests.unit.settings.conftest import DESKTOPS, PHONES, REVIEWS, Problems, Read


def test_an_account_is_its_providers_defaults_and_what_it_says(read: Read) -> None:
    account = read(f"{PHONES}[accounts.phones.limits]\ncalls_per_minute = 60.5").accounts["phones"]
    assert account.name == "phones"
    assert account.provider == "geelark"
    assert account.capabilities is providers.GEELARK
    assert account.base_url == "https://openapi.geelark.com"
    assert account.options == {"token": FromEnv("GEELARK_TOKEN")}
    assert account.limits.model_dump() == {
        "group": "phones",
        "calls_per_minute": 60.5,
        "calls_per_hour": 20_000,
        "batch_size": 100,
        "max_in_flight": 4,
        "concurrency": 16,
        "timeout_seconds": 30,
        "lease_seconds": 120,
    }


def test_absent_options_have_their_defaults(read: Read) -> None:
    options = read(REVIEWS).accounts["reviews"].options
    assert options["auth"] == "headers"
    assert options["archive_results"] is False
    assert "workspace_id" not in options


@pytest.mark.parametrize("name", ["a", "0", "phones-2_b", "x" * 64])
def test_names_that_are_taken(read: Read, name: str) -> None:
    assert list(read(PHONES.replace("phones", name)).accounts) == [name]


@pytest.mark.parametrize("name", ["Phones", "-a", "_a", "x" * 65, "a b", "é", "", "a\\n", "a.b"])
def test_names_that_are_not(problems: Problems, name: str) -> None:
    (problem,) = problems(PHONES.replace("phones", f'"{name}"'))
    assert "is not a name for an account; use 1 to 64" in problem


def test_two_bad_names_are_two_problems(problems: Problems) -> None:
    other = PHONES.replace("phones", "TABLETS").replace("GEELARK_TOKEN", "OTHER")
    assert len(problems(PHONES.replace("phones", "PHONES") + other)) == 2


@pytest.mark.parametrize("provider", ["", 'provider = "geelrk"', "provider = 5"])
def test_an_unknown_provider_is_told_with_the_known_ones(problems: Problems, provider: str) -> None:
    (problem,) = problems(f"[accounts.phones]\n{provider}\nwhatever = 5")
    assert problem == "accounts.phones.provider: must be one of docflow, geelark, huawei_workspace"


def test_an_account_is_a_table(problems: Problems) -> None:
    (problem,) = problems("[accounts]\nphones = 5")
    assert problem.startswith("accounts.phones: must be a table; write [accounts.phones]")


@pytest.mark.parametrize("key", ["limits", "policy"])
def test_so_are_its_limits_and_its_policy(problems: Problems, key: str) -> None:
    (problem,) = problems(f"{PHONES}{key} = 5")
    assert problem.startswith(f"accounts.phones.{key}: must be a table")


# --- Credentials and other options -------------------------------------------------------------------------------

HUAWEI = '[accounts.x]\nprovider = "huawei_workspace"\nregion = "cn-north-4"\nproject_id = "p"\n'


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ('[accounts.x]\nprovider = "geelark"', "none"),
        ('[accounts.x]\nprovider = "geelark"\napp_id = "a"', "app_id"),
        ('[accounts.x]\nprovider = "geelark"\napi_key = { env = "K" }', "api_key"),
        ('[accounts.x]\nprovider = "geelark"\ntoken = { env = "T" }\napp_id = "a"', "token + app_id"),
        (
            '[accounts.x]\nprovider = "geelark"\ntoken = { env = "T" }\napp_id = "a"\napi_key = { env = "K" }',
            "token + app_id + api_key",
        ),
        (HUAWEI, "none"),
        (f'{HUAWEI}iam_user = "u"\niam_password = {{ env = "P" }}', "iam_user + iam_password"),
        (f'{HUAWEI}secret_key = {{ env = "S" }}\nauth_token = {{ env = "T" }}', "secret_key + auth_token"),
    ],
)
def test_exactly_one_credential_must_be_given_whole(problems: Problems, text: str, given: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith("accounts.x: needs exactly one credential, whole: ")
    assert problem.endswith(f"; given: {given}")


def test_the_message_names_the_alternatives(problems: Problems) -> None:
    (problem,) = problems('[accounts.x]\nprovider = "geelark"')
    assert "whole: token, or app_id + api_key; given" in problem


@pytest.mark.parametrize(
    "credential",
    [
        'access_key = { env = "A" }\nsecret_key = { env = "S" }',
        'access_key = { env = "A" }\nsecret_key = { env = "S" }\nsecurity_token = { env = "T" }',
        'auth_token = { file = "t" }',
        'iam_user = "u"\niam_password = { env = "P" }\niam_domain = "d"\niam_url = "https://iam.example.com"',
    ],
)
def test_each_alternative_is_taken(read: Read, credential: str) -> None:
    assert read(HUAWEI + credential).accounts["x"].options


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            'security_token = { env = "T" }',
            "accounts.x.security_token: belongs to access_key; add access_key or remove",
        ),
        ('iam_url = "https://iam.example.com"', "accounts.x.iam_url: belongs to iam_user; add iam_user or remove"),
    ],
)
def test_what_belongs_to_another_credential_is_refused(problems: Problems, line: str, problem: str) -> None:
    (told,) = problems(f'{HUAWEI}auth_token = {{ env = "A" }}\n{line}')
    assert told.startswith(problem)


def test_required_keys_are_missed_with_an_example(problems: Problems) -> None:
    assert problems('[accounts.x]\nprovider = "docflow"') == (
        'accounts.x.app_id: is missing; write app_id = { env = "TI_APP_ID" } or { file = "PATH" }',
        'accounts.x.secret_code: is missing; write secret_code = { env = "TI_SECRET" } or { file = "PATH" }',
    )
    (problem,) = problems(DESKTOPS.replace('region = "ap-southeast-1"', ""))
    assert problem == 'accounts.desktops.region: is missing; write region = "ap-southeast-1"'


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (f'{REVIEWS}auth = "basic"', "reviews.auth: must be one of headers, hmac"),
        (f'{REVIEWS}workspace_id = "12a"', "reviews.workspace_id: is not of the form [0-9]{1,64}, such as"),
        (f'{REVIEWS}workspace_id = "123\\n"', "reviews.workspace_id: must not be empty or hold line breaks"),
        (f"{REVIEWS}workspace_id = 123", "reviews.workspace_id: must be text; put it in quotes"),
        (f'{REVIEWS}archive_results = "true"', "reviews.archive_results: must be true or false"),
        (f'{REVIEWS}archive_results = {{ env = "X" }}', "reviews.archive_results: must be true or false"),
        (f"{REVIEWS}enterprise_id = []", "reviews.enterprise_id: must be text"),
        (DESKTOPS.replace("ap-southeast-1", "Singapore"), "desktops.region: is not of the form"),
        (DESKTOPS.replace("0123456789abcdef", ""), "desktops.project_id: must not be empty"),
        (DESKTOPS.replace("0123456789abcdef", "a/b"), "desktops.project_id: is not of the form"),
    ],
)
def test_an_option_is_checked_as_its_provider_says(problems: Problems, text: str, key: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"accounts.{key}")


@pytest.mark.parametrize(
    "value",
    [
        "{}",
        '{ env = "" }',
        '{ env = "A-B" }',
        '{ env = "A", file = "B" }',
        '{ file = "" }',
        "{ env = 5 }",
        '{ evn = "A" }',
    ],
)
def test_a_reference_is_exactly_one_of_two(problems: Problems, value: str) -> None:
    (problem,) = problems(PHONES.replace('{ env = "GEELARK_TOKEN" }', value))
    assert problem == 'accounts.phones.token: must be exactly { env = "NAME" } or { file = "PATH" }'


def test_other_options_may_be_kept_outside_too(read: Read, path: Path) -> None:
    text = DESKTOPS.replace('project_id = "0123456789abcdef"', 'project_id = { file = "project" }')
    assert read(text).accounts["desktops"].options["project_id"] == FromFile(path.parent / "project")


# --- Address -----------------------------------------------------------------------------------------------------


def test_the_providers_address_is_filled_from_the_options(read: Read) -> None:
    assert read(DESKTOPS).accounts["desktops"].base_url == "https://workspace.ap-southeast-1.myhuaweicloud.com"


def test_part_of_the_address_cannot_be_kept_outside_unless_the_address_is_given(read: Read, problems: Problems) -> None:
    text = DESKTOPS.replace('"ap-southeast-1"', '{ env = "REGION" }')
    (problem,) = problems(text)
    assert problem.startswith("accounts.desktops.region: is part of the provider's address")
    assert read(f'{text}base_url = "https://example.com"').accounts["desktops"].base_url == "https://example.com"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://Example.COM/", "https://example.com"),
        ("https://example.com:443/api//", "https://example.com/api"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("http://127.0.0.1:80/x", "http://127.0.0.1/x"),
        ("http://localhost:8700/geelark", "http://localhost:8700/geelark"),
        ("http://[::1]:8700", "http://[::1]:8700"),
    ],
)
def test_an_address_has_one_spelling(read: Read, given: str, used: str) -> None:
    assert read(f'{PHONES}base_url = "{given}"').accounts["phones"].base_url == used


@pytest.mark.parametrize(
    "address",
    [
        *(
            "example.com",
            "ftp://example.com",
            "https://",
            "https://a b",
            "https://a:99999",
            "https://a:b",
            "https://[::1",
        ),
        *("https://user@example.com", "https://user:hunter2@example.com", "https://a/?x=1", "https://a/#x", ""),
        *("https://a\\\\b", "https://-a", "https://{region}.com", "https://a\\n", " https://a", "https://a:0"),
        *("http://example.com", "http://127.0.0.1.example.com", "http://localhost.example.com", "http://10.0.0.1"),
    ],
)
def test_other_addresses_are_refused(problems: Problems, address: str) -> None:
    (problem,) = problems(f'{PHONES}base_url = "{address}"')
    assert problem.startswith("accounts.phones.base_url: ")
    assert "hunter2" not in problem


def test_a_login_address_is_held_to_the_same_rule(problems: Problems) -> None:
    login = 'iam_user = "u"\niam_password = { env = "P" }\niam_domain = "d"\niam_url = "http://iam.example.com"'
    (problem,) = problems(HUAWEI + login)
    assert problem.startswith("accounts.x.iam_url: http:// would send secrets in clear text")


def test_clear_text_must_be_allowed(read: Read) -> None:
    account = read(f'{PHONES}base_url = "http://sandbox:8700"\nallow_http = true').accounts["phones"]
    assert (account.base_url, account.allow_http) == ("http://sandbox:8700", True)


def test_allow_http_is_a_switch(problems: Problems) -> None:
    (problem,) = problems(f'{PHONES}allow_http = "true"')
    assert problem.startswith("accounts.phones.allow_http: must be true or false")


# --- Limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("calls_per_minute = 0", "calls_per_minute"),
        ("calls_per_minute = inf", "calls_per_minute"),
        ("calls_per_hour = -1", "calls_per_hour"),
        ("calls_per_hour = 1_000_000_001", "calls_per_hour"),
        ("batch_size = 0", "batch_size"),
        ("batch_size = 1.5", "batch_size"),
        ("max_in_flight = 0", "max_in_flight"),
        ("max_in_flight = 1001", "max_in_flight"),
        ("concurrency = 0", "concurrency"),
        ("concurrency = 1001", "concurrency"),
        ("timeout_seconds = 0", "timeout_seconds"),
        ('lease_seconds = "120"', "lease_seconds"),
        ('group = "A b"', "group"),
    ],
)
def test_a_wrong_limit_is_told_under_its_key(problems: Problems, line: str, key: str) -> None:
    (problem,) = problems(f"{PHONES}[accounts.phones.limits]\n{line}")
    assert problem.startswith(f"accounts.phones.limits.{key}: ")


@pytest.mark.parametrize(
    ("timeout", "lease", "least"), [("30", "60", "61"), ("60", "120", "121"), ("0.25", "1.4", "1.5")]
)
def test_a_lease_holds_two_calls(problems: Problems, read: Read, timeout: str, lease: str, least: str) -> None:
    text = f"{PHONES}[accounts.phones.limits]\ntimeout_seconds = {timeout}\nlease_seconds = "
    (problem,) = problems(text + lease)
    assert problem.startswith(f"accounts.phones.limits.lease_seconds: {lease} is too little beside timeout_seconds")
    assert f"at least {least}," in problem
    assert read(text + least).accounts["phones"].limits.lease_seconds == float(least)


def test_a_longer_timeout_needs_a_longer_lease(problems: Problems) -> None:
    (problem,) = problems(f"{PHONES}[accounts.phones.limits]\ntimeout_seconds = 60")
    assert problem.startswith("accounts.phones.limits.lease_seconds: 120 is too little")


def test_a_batch_is_one_call_where_a_call_takes_many_ids(problems: Problems, read: Read) -> None:
    limits = "[accounts.{}.limits]\nbatch_size = {}"
    (problem,) = problems(PHONES + limits.format("phones", 101))
    assert problem.startswith("accounts.phones.limits.batch_size: is above the provider's cap")
    assert read(PHONES + limits.format("phones", 100)).accounts["phones"].limits.batch_size == 100
    assert read(REVIEWS + limits.format("reviews", 1000)).accounts["reviews"].limits.batch_size == 1000
    (problem,) = problems(REVIEWS + limits.format("reviews", 1001))
    assert problem.startswith("accounts.reviews.limits.batch_size: ")


@pytest.mark.parametrize(("key", "most"), [("calls_per_minute", 200), ("calls_per_hour", 24_000)])
def test_a_rate_above_the_published_one_is_a_warning(read: Read, key: str, most: int) -> None:
    text = f"{PHONES}[accounts.phones.limits]\n{key} = "
    assert read(f"{text}{most}").warnings == ()
    (warning,) = read(f"{text}{most + 1}").warnings
    assert warning.startswith(f"accounts.phones.limits.{key}: is above the rate GeeLark cloud phones publishes, {most}")


# --- Policy ------------------------------------------------------------------------------------------------------


def test_an_accounts_policy_is_the_general_one_key_by_key(read: Read) -> None:
    text = (
        f"[policy]\nbase_seconds = 5\nfactor = 3{REVIEWS}[accounts.reviews.policy]\nbase_seconds = 60\nmax_retries = 9"
    )
    settings = read(text + DESKTOPS)
    own = settings.accounts["reviews"].policy
    assert (own.base_seconds, own.factor, own.max_retries, own.jitter) == (60, 3, 9, "full")
    assert settings.accounts["desktops"].policy == settings.policy


def test_the_providers_cap_wins_silently_over_the_general_policy(read: Read) -> None:
    settings = read(f"[policy]\nmax_retries = 50{PHONES}{REVIEWS}")
    assert settings.accounts["phones"].policy.max_retries == 5
    assert settings.accounts["reviews"].policy.max_retries == 50
    assert settings.warnings == ()


def test_above_the_cap_in_an_accounts_own_policy_is_an_error(problems: Problems, read: Read) -> None:
    text = f"{PHONES}[accounts.phones.policy]\nmax_retries = "
    (problem,) = problems(f"{text}6")
    assert problem.startswith("accounts.phones.policy.max_retries: is above the provider's cap")
    assert read(f"{text}2").accounts["phones"].policy.max_retries == 2


def test_knobs_must_agree_after_the_override(problems: Problems, read: Read) -> None:
    general = "[policy]\nmax_seconds = 100"
    (problem,) = problems(f"{general}{PHONES}[accounts.phones.policy]\nbase_seconds = 101")
    assert problem.startswith("accounts.phones.policy.max_seconds: 100 is too little beside base_seconds")
    settings = read(f"{general}{PHONES}[accounts.phones.policy]\nbase_seconds = 101\nmax_seconds = 101")
    assert settings.accounts["phones"].policy.max_seconds == 101


def test_what_is_wrong_in_general_is_told_once(problems: Problems) -> None:
    own = "[accounts.phones.policy]\nmax_errors = 0"
    told = problems(f"[policy]\nfactor = 0\nbase_seconds = 5000{PHONES}{own}{REVIEWS}")
    assert [problem.split(": ")[0] for problem in told] == [
        "policy.factor",
        "policy.max_seconds",
        "accounts.phones.policy.max_errors",
    ]


# --- Providers of other packages ---------------------------------------------------------------------------------


class Elsewhere:
    capabilities = Capabilities(
        provider="elsewhere",
        title="Elsewhere",
        base_url="https://{zone}.example.com",
        kinds=(Kind("", "/retry", "/check"),),
        retry_ids=20,
        options={"zone": Option(), "pin": Option(secret=True, pattern="[0-9]{4}", example="ELSEWHERE_PIN")},
    )


def _register(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    points = EntryPoints([EntryPoint("elsewhere", value, providers.ENTRY_POINT_GROUP)])
    monkeypatch.setattr(providers, "entry_points", points.select)


def test_a_provider_of_another_package_is_known_by_its_capabilities(
    read: Read, problems: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    _register(monkeypatch, f"{__name__}:Elsewhere")
    text = '[accounts.x]\nprovider = "elsewhere"\n'
    account = read(f'{text}zone = "a"').accounts["x"]
    assert account.base_url == "https://a.example.com"
    assert account.limits.batch_size == 20
    (problem,) = problems(text)
    assert problem.startswith("accounts.x.zone: is part of the provider's address")


def test_what_a_secret_should_check_like_is_not_its_variable(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, f"{__name__}:Elsewhere")
    text = '[accounts.x]\nprovider = "elsewhere"\nzone = "a"\npin = { env = "PIN" }'
    told = check_secrets(read(text), {"PIN": "123"})
    assert told == ["accounts.x.pin: is not of the form [0-9]{4}"]


def test_one_that_cannot_be_loaded_is_told(problems: Problems, monkeypatch: pytest.MonkeyPatch) -> None:
    _register(monkeypatch, "no_such_package_of_ours:Thing")
    (problem,) = problems('[accounts.x]\nprovider = "elsewhere"')
    assert problem.startswith("accounts.x.provider: cannot be loaded (ModuleNotFoundError)")


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://docflow.textin.com/api", "https://docflow.textin.com"),
        ("https://docflow.textin.com/api/", "https://docflow.textin.com"),
        ("https://docflow.textin.ai", "https://docflow.textin.ai"),
        ("https://example.com/gateway/api", "https://example.com/gateway"),
        ("https://example.com/api/api", "https://example.com/api"),
    ],
)
def test_one_trailing_api_of_docflows_address_is_taken_off(read: Read, base_url: str, expected: str) -> None:
    """The SDK's base ends with it, the documents' paths begin with it: both forms are given."""
    assert read(f'{REVIEWS}base_url = "{base_url}"').accounts["reviews"].base_url == expected


def test_a_trailing_api_of_another_providers_address_stays(read: Read) -> None:
    assert (
        read(f'{PHONES}base_url = "https://example.com/api"').accounts["phones"].base_url == "https://example.com/api"
    )
