"""The providers, one file each: ours by their names, those of other packages by the entry-point group."""

from importlib import import_module
from importlib.metadata import entry_points

from redrive.models.errors import SettingsError
from redrive.models.providers import BUILT_IN, ENTRY_POINT_GROUP, known_providers

from .base import Provider


def load(name: str) -> type[Provider]:
    """The class of a provider. No other package takes the name of one of ours.

    Raises:
        SettingsError: nobody registered a provider of that name, or what is registered cannot be imported.
    """
    if name in BUILT_IN:
        ours: type[Provider] = import_module(f".{name}", __package__).PROVIDER
        return ours
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            provider: type[Provider] = point.load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"provider {name!r} is registered as {point.value}, but: {error}") from error
        return provider
    raise SettingsError(f"provider {name!r} is not known; there are: {', '.join(known_providers())}")
