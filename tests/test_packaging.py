"""The wheel is built for real, installed into an empty directory and run from there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("models", "scheduler", "worker")

LOOK = """
import importlib, json
from importlib.metadata import distribution

names = ("redrive", "redrive.models", "redrive.scheduler", "redrive.worker")
homes = {name: importlib.import_module(name).__file__ for name in names}
points = {point.name: callable(point.load()) for point in distribution("redrive").entry_points}

from redrive.models.providers import BUILT_IN
from redrive.worker.providers import load

print(json.dumps([homes, points, {name: load(name).__module__ for name in BUILT_IN}]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as anybody would build it: pip, in an environment of its own."""
    directory = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--wheel-dir", directory, ROOT)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel alone in an empty directory; its dependencies are those of this interpreter."""
    directory = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--target", directory, wheel)
    return directory


def pip(*args: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_one_package_and_nothing_else(wheel: Path) -> None:
    names = ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"redrive"}
    assert {"redrive/py.typed", *(f"redrive/{floor}/py.typed" for floor in FLOORS)} <= set(names)


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    """Migrations and data files included: what is missing shows only at a user's."""
    files = [path for folder in ("redrive", *FLOORS) for path in (ROOT / folder).rglob("*") if path.is_file()]
    names = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    ours = {name if name.startswith("redrive/") else f"redrive/{name}" for name in names}
    assert ours - set(ZipFile(wheel).namelist()) == set()
    assert any(name.startswith("redrive/models/sql/migrations/versions/") for name in ours)


def test_the_installed_wheel_imports_and_its_entry_points_load(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-P", "-c", LOOK]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    homes, points, providers = json.loads(done.stdout)
    assert {name: Path(home) for name, home in homes.items()} == {
        name: installed.joinpath(*name.split("."), "__init__.py") for name in homes
    }
    assert len(homes) == 1 + len(FLOORS)
    assert points == {"redrive": True}
    names = ("geelark", "huawei_workspace", "docflow")
    assert providers == {name: f"redrive.worker.providers.{name}" for name in names}


def test_the_installed_command_runs(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [installed / "bin" / "redrive", "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "demo" in done.stdout


def test_readmes_line_installs_what_make_builds(wheel: Path, tmp_path: Path) -> None:
    """Whatever the wheel's version, and with names of extras that it has."""
    lines = (ROOT / "README.md").read_text().partition("\nmake dist\n")[2].partition("\n")[0]
    assert lines.startswith("pip install ")
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / wheel.name).write_bytes(wheel.read_bytes())
    options = "--quiet --disable-pip-version-check --dry-run --no-deps --no-index --ignore-installed"
    command = lines.replace("pip install", f"{sys.executable} -m pip install {options}")
    done = subprocess.run(["sh", "-ec", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^dist:.*\n\t@\$\(PIP\) wheel .*--wheel-dir dist", (ROOT / "Makefile").read_text(), re.MULTILINE)
