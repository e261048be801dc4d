"""The providers, one file each, found through the entry-point group ``redrive.providers``."""

from importlib.metadata import entry_points

from redrive.models.errors import SettingsError
from redrive.models.providers import ENTRY_POINT_GROUP, known_providers

from .base import Provider


def load(name: str) -> type[Provider]:
    """The class of a provider.

    Raises:
        SettingsError: nobody registered a provider of that name, or what is registered cannot be imported.
    """
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            provider: type[Provider] = point.load()
        except (ImportError, AttributeError) as error:
            raise SettingsError(f"provider {name!r} is registered as {point.value}, but: {error}") from error
        return provider
    raise SettingsError(f"provider {name!r} is not known; there are: {', '.join(known_providers())}")
