"""The bounds of our dependencies are as wide as the tests prove, and no wider."""

import os
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = ("postgres", "embedded")
"""Those that people install."""


def declared() -> Iterator[Requirement]:
    yield from map(Requirement, PROJECT["dependencies"])
    for extra in EXTRAS:
        yield from map(Requirement, PROJECT["optional-dependencies"][extra])


REQUIREMENTS = {each.name: each for each in declared()}
LOWEST = dict(re.findall(r"^([a-z-]+)==([\d.]+)$", (ROOT / "tests/lowest.txt").read_text(), re.MULTILINE))


def lower_bound(requirement: Requirement) -> Version:
    (bound,) = (Version(each.version) for each in requirement.specifier if each.operator == ">=")
    return bound


def test_each_lower_bound_is_the_version_that_is_tested() -> None:
    assert {name: Version(lowest) for name, lowest in LOWEST.items()} == {
        name: lower_bound(each) for name, each in REQUIREMENTS.items()
    }


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_the_installed_version_is_one_of_those_promised(name: str) -> None:
    """The newest with `make test`, the lowest with `make test-lowest`."""
    assert version(name) in REQUIREMENTS[name].specifier
    if os.environ.get("REDRIVE_TEST_LOWEST"):
        assert Version(version(name)) == Version(LOWEST[name])


@pytest.mark.parametrize(
    ("name", "of_a_host"),
    [
        ("sqlalchemy", ("2.0.31", "2.0.58", "2.1.0", "2.1.9")),
        ("celery", ("5.5.0", "5.6.3", "5.7.0")),
        ("pydantic", ("2.10.0", "2.11.10", "2.13.5")),
        ("httpx", ("0.27.0", "0.28.1")),
    ],
)
def test_a_host_keeps_its_versions(name: str, of_a_host: tuple[str, ...]) -> None:
    assert [each for each in of_a_host if each not in REQUIREMENTS[name].specifier] == []


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_pythons_are_named(python: str) -> None:
    assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert Version(python) in Requirement(f"python{PROJECT['requires-python']}").specifier
