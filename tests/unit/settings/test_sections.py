"""The tables that belong to no account."""

import pytest
from pydantic import ValidationError

from redrive.models.settings import Policy, Settings
from tests.unit.settings.conftest import PHONES, Problems, Read


def test_an_empty_file_means_the_defaults(read: Read) -> None:
    settings = read("")
    assert settings == Settings()
    assert settings.policy.max_retries == 5
    assert settings.breaker.max_refusals == 100
    assert (settings.flower.host, settings.flower.port) == ("127.0.0.1", 5555)
    assert settings.retention.dead_days is None
    assert settings.accounts == {}
    assert settings.warnings == ()


def test_settings_cannot_be_changed_after_loading(read: Read) -> None:
    with pytest.raises(ValidationError):
        read("").policy.max_retries = 6


def test_backoff_is_a_word_or_a_list_of_waits(read: Read) -> None:
    assert read('[policy]\nbackoff = "linear"').policy.backoff == "linear"
    assert read("[policy]\nbackoff = [30, 120, 0.5]").policy.backoff == (30, 120, 0.5)


@pytest.mark.parametrize("value", ["[]", '"cubic"', "[0]", "[-1, 5]", '["30"]', "[true]", "[inf]", "[nan]", "30", "{}"])
def test_any_other_backoff_is_refused(problems: Problems, value: str) -> None:
    (problem,) = problems(f"[policy]\nbackoff = {value}")
    assert problem.startswith("policy.backoff: must be exponential, linear, constant or a list")


SECONDS = [
    *((f"policy.{key}") for key in Policy.model_fields if key.endswith("_seconds")),
    "scheduler.poll_seconds",
    "breaker.open_seconds",
    "breaker.max_open_seconds",
]


@pytest.mark.parametrize("key", SECONDS)
@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan", "1_000_000_001", '"30"', "true"])
def test_seconds_are_finite_numbers_above_zero(problems: Problems, key: str, value: str) -> None:
    section, name = key.split(".")
    assert any(problem.startswith(f"{key}: must be ") for problem in problems(f"[{section}]\n{name} = {value}"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[policy]\nmax_retries = -1", "policy.max_retries"),
        ("[policy]\nmax_retries = 1001", "policy.max_retries"),
        ("[policy]\nmax_retries = 2.5", "policy.max_retries"),
        ("[policy]\nmax_retries = true", "policy.max_retries"),
        ('[policy]\nretry_canceled = "yes"', "policy.retry_canceled"),
        ("[policy]\nfactor = 0.9", "policy.factor"),
        ("[policy]\nfactor = inf", "policy.factor"),
        ("[policy]\nmax_errors = 0", "policy.max_errors"),
        ("[policy]\nmax_errors = 1001", "policy.max_errors"),
        ('[policy]\njitter = "some"', "policy.jitter"),
        ("[policy]\ntrack_results = 1", "policy.track_results"),
        ('[policy]\ncheck_before_retry = "yes"', "policy.check_before_retry"),
        ('[policy]\non_unknown = "drop"', "policy.on_unknown"),
        ("[worker]\nthreads = 0", "worker.threads"),
        ("[worker]\nthreads = 1025", "worker.threads"),
        ("[breaker]\nfailures = 0", "breaker.failures"),
        ("[breaker]\nfailures = 10_001", "breaker.failures"),
        ("[breaker]\nmax_refusals = 1_000_001", "breaker.max_refusals"),
        ("[breaker]\nmax_refusals = 0", "breaker.max_refusals"),
        ("[retention]\nsucceeded_days = 0", "retention.succeeded_days"),
        ("[retention]\nsucceeded_days = 10_001", "retention.succeeded_days"),
        ("[retention]\ndead_days = -1", "retention.dead_days"),
        ("[retention]\nbatches_days = inf", "retention.batches_days"),
        *(
            (f'[flower]\naddress = "{address}"', "flower.address")
            for address in ("5555", "host:0", "host:70000", ":5555")
        ),
        *(
            (f'[flower]\naddress = "{address}"', "flower.address")
            for address in ("::1:5555", "[host]:1", "a b:1", "[::1]")
        ),
        ("[flower]\naddress = 5555", "flower.address"),
        ("scheduler = 5", "scheduler"),
        ("accounts = []", "accounts"),
    ],
)
def test_a_wrong_value_is_told_under_its_key(problems: Problems, text: str, key: str) -> None:
    (problem,) = problems(text)
    assert problem.startswith(f"{key}: ")
    assert "must be " in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[policy]\nbase_seconds = 3601", "policy.max_seconds: 3600 is too little beside base_seconds"),
        ("[policy]\nmax_seconds = 29.5", "policy.max_seconds: 29.5 is too little beside base_seconds"),
        ("[policy]\nsettle_seconds = 86401", "policy.check_timeout_seconds: 86400 is too little beside settle_seconds"),
        (
            "[policy]\ncheck_after_seconds = 301",
            "policy.check_max_seconds: 300 is too little beside check_after_seconds",
        ),
        ("[breaker]\nopen_seconds = 601", "breaker.max_open_seconds: 600 is too little beside open_seconds"),
    ],
)
def test_knobs_that_disagree_are_told(problems: Problems, text: str, problem: str) -> None:
    (told,) = problems(text)
    assert told.startswith(problem)
    assert "must be at least" in told


def test_knobs_may_meet(read: Read) -> None:
    policy = read("[policy]\nbase_seconds = 3600\nsettle_seconds = 86400\ncheck_after_seconds = 300").policy
    assert policy.base_seconds == policy.max_seconds


def test_everything_wrong_is_told_at_once(problems: Problems) -> None:
    text = "[policy]\nfactor = 0\nbase_seconds = 9000\n[worker]\nthreads = 0\n[accounts.phones]\nprovider = 'none'"
    told = problems(text, {"REDRIVE_DATABASE_URL": "mysql://x"})
    assert [problem.split(": ")[0] for problem in told] == [
        "REDRIVE_DATABASE_URL",
        "policy.factor",
        "policy.max_seconds",
        "worker.threads",
        "accounts.phones.provider",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[polcy]", "polcy: is not a setting; did you mean policy?"),
        ("warnings = []", "warnings: is not a setting; known here: accounts, breaker, "),
        ("[policy]\nmax_retrys = 3", "policy.max_retrys: is not a setting; did you mean max_retries?"),
        ("[flower]\nport = 3", "flower.port: is not a setting; known here: address"),
        (f"{PHONES}tokn = 3", "accounts.phones.tokn: is not a setting; did you mean token?"),
        (
            f"{PHONES}[accounts.phones.limits]\nbatch = 3",
            "accounts.phones.limits.batch: is not a setting; did you mean batch_size?",
        ),
        (
            f"{PHONES}[accounts.phones.policy]\nfacto = 3",
            "accounts.phones.policy.facto: is not a setting; did you mean factor?",
        ),
    ],
)
def test_an_unknown_key_is_an_error_with_the_one_that_was_meant(problems: Problems, text: str, problem: str) -> None:
    (told,) = problems(text)
    assert told.startswith(problem)


@pytest.mark.parametrize(
    ("text", "idle"),
    [
        ('backoff = "linear"\nfactor = 3', ["factor"]),
        ('backoff = "constant"\nbase_seconds = 5\nfactor = 3', ["factor"]),
        ("backoff = [5]\nbase_seconds = 5\nfactor = 3\nmax_seconds = 9", ["base_seconds", "factor", "max_seconds"]),
        ("base_seconds = 5\nfactor = 3\nmax_seconds = 9", []),
    ],
)
def test_a_key_that_the_backoff_leaves_idle_is_a_warning(read: Read, text: str, idle: list[str]) -> None:
    """No setting is silently ignored, in the general policy or in an account's own."""
    general = read(f"[policy]\n{text}").warnings
    own = read(f"{PHONES}[accounts.phones.policy]\n{text}").warnings
    for prefix, warnings in (("policy", general), ("accounts.phones.policy", own)):
        assert [warning.split(":")[0] for warning in warnings] == [f"{prefix}.{key}" for key in idle]


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "flower.example.com", "192.168.1.5"])
def test_flower_for_everybody_is_a_warning(read: Read, host: str) -> None:
    (warning,) = read(f'[flower]\naddress = "{host}:5555"').warnings
    assert warning.startswith("flower.address: ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.1.2.3", "[::1]"])
def test_flower_for_this_machine_is_not(read: Read, host: str) -> None:
    settings = read(f'[flower]\naddress = "{host}:8080"')
    assert settings.warnings == ()
    assert (settings.flower.host, settings.flower.port) == (host.strip("[]").lower(), 8080)
