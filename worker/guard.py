"""The one way into a provider's code, which is somebody else's: whatever it raises comes out as one exception."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ProviderFailedError(Exception):
    """The provider's code raised something: its cause. Its words may hold secrets, and so may its traceback."""

    @property
    def kind(self) -> str:
        """The name of what it raised, fit to be shown."""
        return type(self.__cause__).__name__


def guarded(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the provider's function returns.

    ``SystemExit`` of a library that calls ``sys.exit``, or a ``CancelledError`` raised by hand, would end the event
    loop or the task that serves others: here they are failures like any other.

    Raises:
        ProviderFailedError: it raised, whatever it was.
    """
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        raise ProviderFailedError(words_of(error)) from error


def words_of(error: BaseException) -> str:
    """The exception's name and words, even where its own ``__str__`` fails."""
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001 - the same somebody wrote that, too
        return type(error).__name__
