"""What is handed to a client → what the queries take, or :class:`BadInput`."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from redrive.models.errors import BadInput
from redrive.models.intake import values
from redrive.models.intake.refusal import refused
from redrive.models.ledger import Who

from .asker import this_user
from .words import Ids, Since, Texts

MOST_FOUND = 10_000


def ids(given: Ids) -> list[int]:
    """Each id once, in order."""
    wanted = [given] if isinstance(given, int | str) else list(given)
    for each in wanted:
        if type(each) is not int or not 0 < each < 2**63:
            raise refused("id", each, "must be the whole number that add() returned")
    return sorted(set(wanted))


def texts(field: str, given: Texts, known: Iterable[str] = ()) -> tuple[str, ...]:
    """One text or many; none means any. Where words are known, others are refused."""
    if given is None:
        return ()
    names = [given] if isinstance(given, str) else list(given)
    for each in names:
        if not isinstance(each, str):
            raise refused(field, each, "must be text, or a list of texts")
    return tuple(values.choice(field, each, known) for each in names) if known else tuple(names)


def priorities(given: int | Iterable[int] | None) -> tuple[int, ...]:
    """The priorities among which a task's must be."""
    wanted = (given,) if isinstance(given, int) else (given or ())
    return tuple(between("priority", each, -1, 1) for each in wanted)


def since(given: Since) -> datetime | timedelta | None:
    """A moment, or how long ago."""
    if isinstance(given, timedelta):
        if given < timedelta(0):
            raise refused("since", given, "must be how long ago, which is not negative")
        return min(given, timedelta(days=36_500))
    return values.moment("since", given)


def between(field: str, given: int, lowest: int, highest: int) -> int:
    """A whole number within bounds."""
    number = values.integer(field, given, lowest, highest)
    if number is None:
        raise BadInput(f"{field}: must be a whole number from {lowest} to {highest}")
    return number


def who(name: str, reason: str) -> Who:
    """Who asks, as it is recorded: the one that is named, otherwise this process's user."""
    return Who(values.line("who", name, 255) or this_user(), values.words("reason", reason))
