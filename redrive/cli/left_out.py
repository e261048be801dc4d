"""Tasks that cannot be shown, because nobody can read their rows."""

from collections.abc import Sequence

from redrive.models.explain.words import many

from .console import errors

_SHOWN = 5


def say_left_out(ids: Sequence[int]) -> None:
    """Say which, and how to find out why."""
    more = f" and {len(ids) - _SHOWN:,} more" if len(ids) > _SHOWN else ""
    named = " ".join(map(str, ids[:_SHOWN])) + more
    errors.print(f"{many(len(ids), 'task')} left out, whose rows cannot be read: {named}; redrive list --set-aside")
