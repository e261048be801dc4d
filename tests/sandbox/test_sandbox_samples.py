import io
from pathlib import Path

import pytest

from redrive.cli.sandbox import SANDBOX_PORT
from redrive.models.providers import BUILT_IN
from redrive.models.settings import check_secrets, load
from redrive.sandbox.behavior import DETAILS, REFUSALS
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.page import accounts_toml, environment, page
from redrive.sandbox.samples import ACCOUNTS, COLUMNS, sample_rows, write_csv
from redrive.sandbox.script import parse
from redrive.template import render

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo_tasks.csv"


def test_the_example_is_what_the_samples_make() -> None:
    """To renew it: python -m redrive.sandbox.samples > examples/demo_tasks.csv."""
    made = io.StringIO()
    write_csv(sample_rows(), made)
    assert made.getvalue() == EXAMPLE.read_text()


def test_the_examples_lead_to_the_sandbox() -> None:
    """To renew them: copy what `redrive sandbox` prints."""
    config, url = SandboxConfig(), f"http://127.0.0.1:{SANDBOX_PORT}"
    assert (EXAMPLE.parent / "sandbox.toml").read_text() == accounts_toml(config, url)
    secrets = "".join(f"export {name}={value}\n" for name, value in environment(config).items())
    assert (EXAMPLE.parent / "sandbox.env").read_text() == secrets


def test_samples_hold_every_script() -> None:
    """All providers, kinds, refusals and details, failed and canceled, each task once."""
    rows = sample_rows()
    assert len({(row["account"], row["external_id"], row["sub_id"]) for row in rows}) == len(rows) >= 600
    for provider, account in ACCOUNTS.items():
        ours = [row for row in rows if row["account"] == account]
        scripts = {parse(row["external_id"]) for row in ours}
        assert {script.refusal for script in scripts} == {None, *REFUSALS[provider]}
        assert {script.detail for script in scripts} == set(DETAILS[provider])
        assert {row["kind"] for row in ours} == {kind.name for kind in BUILT_IN[provider].kinds}
        assert {row["status"] for row in ours} == {"failed", "canceled"}
        assert all(set(row) == set(COLUMNS) for row in ours)


@pytest.mark.parametrize(("arguments", "same"), [((5, 1), True), ((5, 2), False), ((6, 1), False)])
def test_samples_repeat_by_seed(arguments: tuple[int, int], *, same: bool) -> None:
    """The same arguments give the same rows."""
    assert (sample_rows(*arguments) == sample_rows(5, 1)) is same


@pytest.mark.parametrize("url", ["http://127.0.0.1:8700", "http://sandbox:8700"])
def test_the_page_holds_a_configuration_that_works(tmp_path: Path, url: str) -> None:
    """Saved as it stands, with the variables exported above it, there is nothing wrong with it."""
    config = SandboxConfig()
    (tmp_path / "redrive.toml").write_text(accounts_toml(config, url))
    settings = load(tmp_path / "redrive.toml", environment(config))
    assert list(settings.accounts) == list(ACCOUNTS.values())
    assert {account.base_url for account in settings.accounts.values()} == {url}
    assert settings.warnings == ()
    assert check_secrets(settings, environment(config)) == []
    assert set(check_secrets(settings, {})) != set()


def test_what_the_page_holds_can_stand_under_what_init_wrote(tmp_path: Path) -> None:
    """As it is printed."""
    config, url = SandboxConfig(), "http://127.0.0.1:8321"
    printed = page(config, url)
    pasted = printed[printed.index("[accounts.phones]") : printed.index("  Then:")]
    (tmp_path / "redrive.toml").write_text(render() + pasted)
    settings = load(tmp_path / "redrive.toml", environment(config))
    assert list(settings.accounts) == list(ACCOUNTS.values())
    assert settings.warnings == ()


def test_what_is_to_be_pasted_stands_at_the_end() -> None:
    """A terminal of forty rows shows all of it."""
    lines = page(SandboxConfig(), "http://127.0.0.1:8321").splitlines()
    assert len(lines) - lines.index("[accounts.phones]") < 45


def test_the_page_says_how_to_use_it() -> None:
    """Every line of the configuration, and every variable it refers to."""
    config, url = SandboxConfig(), "http://127.0.0.1:1"
    text = page(config, url)
    assert all(f"export {name}={value}" in text for name, value in environment(config).items())
    assert all(line in text for line in accounts_toml(config, url).splitlines())
