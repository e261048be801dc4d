"""What docstrings refer to is there, under the name that they give it."""

import re
from importlib import import_module
from importlib.util import resolve_name
from operator import attrgetter
from pathlib import Path
from pkgutil import resolve_name as found

import pytest

from tests.test_architecture import ROOT, SOURCES, importable, module_name

REFERENCE = re.compile(r":(?:data|func|mod|class|meth|exc):`~?([\w.]+)`")
FILES = [path for path in SOURCES if importable(path) and REFERENCE.search(path.read_text())]


def leads_somewhere(name: str, path: Path) -> bool:
    """Whether it is an absolute name, one relative to the file's package, or the file's own, be it a method."""
    if re.search(rf" def {name}\b", path.read_text()):
        return True
    module = module_name(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    try:
        found(resolve_name(name, package))
    except (ImportError, AttributeError, ValueError):
        pass
    else:
        return True
    try:
        attrgetter(name)(import_module(module))
    except AttributeError:
        return False
    return True


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_docstring_refers_to_what_is_there(path: Path) -> None:
    """All that a file names and that is gone, at once."""
    assert [name for name in REFERENCE.findall(path.read_text()) if not leads_somewhere(name, path)] == []


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("redrive.models.task.Task", True),
        (".task.Task", True),
        ("Status.DEAD", True),
        ("redrive.models.db", False),
        (".tusk", False),
        ("Stotus", False),
        ("statuses_of", False),
    ],
)
def test_names_are_resolved(name: str, there: bool) -> None:  # noqa: FBT001 - a case
    assert leads_somewhere(name, ROOT / "models/states.py") is there
