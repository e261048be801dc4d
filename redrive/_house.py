"""The ``models`` that lies beside this package, under a private name.

A host program may well have a module named ``models`` of its own, and it comes first on ``sys.path``. So what hosts
import of Redrive never says ``import models``: importing this module makes ``redrive._models``, a copy of its own.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_NAME = f"{__package__}._models"


def _load() -> None:
    home = Path(__file__).resolve().parent.parent / "models"
    spec = spec_from_file_location(_NAME, home / "__init__.py", submodule_search_locations=[str(home)])
    if spec is None or spec.loader is None:  # pragma: no cover - the wheel ships both packages
        raise ImportError(f"{home} is missing; install Redrive again")
    module = module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)


if _NAME not in sys.modules:
    _load()
