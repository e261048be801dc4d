"""The providers as plain values, a file each, and the one line that makes a provider one of ours.

A provider has one name on every floor: here NAME.py says what it can do, in ``redrive.worker.providers`` how to speak
to it, in ``redrive.sandbox`` how it answers. Packages of third parties register theirs in the entry-point group
``redrive.providers``.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from importlib.metadata import entry_points

from ..capabilities import Capabilities, Kind, Option
from .docflow import DOCFLOW
from .geelark import GEELARK
from .huawei_workspace import HUAWEI_WORKSPACE

__all__ = [
    "BUILT_IN",
    "DOCFLOW",
    "ENTRY_POINT_GROUP",
    "GEELARK",
    "HUAWEI_WORKSPACE",
    "capabilities_of",
    "known_providers",
]

BUILT_IN: Mapping[str, Capabilities] = {each.provider: each for each in (GEELARK, HUAWEI_WORKSPACE, DOCFLOW)}

ENTRY_POINT_GROUP = "redrive.providers"


def known_providers() -> list[str]:
    """Every provider that can be named in settings, built in or registered by another package."""
    registered = (point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    return sorted({*BUILT_IN, *registered})


def capabilities_of(provider: str) -> Capabilities | None:
    """The capabilities of a provider, or None when nobody provides one of that name.

    Built-in ones are values of this package; asking for them loads no provider code.
    """
    if provider in BUILT_IN:
        return BUILT_IN[provider]
    for point in entry_points(group=ENTRY_POINT_GROUP, name=provider):
        return _ours(point.load().capabilities)
    return None


def _ours(found: object) -> Capabilities:
    """The value in our own classes: a host's client works on a second copy of this package."""
    if isinstance(found, Capabilities):
        return found
    values = {each.name: getattr(found, each.name) for each in fields(Capabilities)}
    values["kinds"] = tuple(Kind(**asdict(kind)) for kind in values["kinds"])
    values["options"] = {key: Option(**asdict(option)) for key, option in values["options"].items()}
    return Capabilities(**values)
