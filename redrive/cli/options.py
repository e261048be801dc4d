"""Arguments and options that several commands share."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from redrive.models.queries import suggestion
from redrive.models.states import Status

Word = TypeVar("Word", bound=StrEnum)

WHICH = "Which tasks"
"""The heading of the options of a filter."""

LARGEST_ID = 2**63 - 1


STANDARD_INPUT = "-"


def _task_id(text: str) -> int:
    """A number that a database can keep."""
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= LARGEST_ID:
        return int(text)
    raise typer.BadParameter(f"{text!r} is not the id of a task; `redrive list --external-id` finds it")


def _task_ids(text: str) -> list[int]:
    """The number, or those on standard input."""
    return _ids_of(sys.stdin.read()) if text == STANDARD_INPUT else [_task_id(text)]


def _ids_of(text: str) -> list[int]:
    """Ids between spaces or commas, or in what ``redrive list --json`` writes."""
    if not text.lstrip().startswith("["):
        return [_task_id(word) for word in re.split(r"[\s,]+", text) if word]
    try:
        return [_task_id(str(each["id"] if isinstance(each, dict) else each)) for each in json.loads(text)]
    except (ValueError, KeyError):
        raise typer.BadParameter("standard input is neither ids nor what `redrive list --json` writes") from None


def flat(groups: Iterable[Sequence[int]]) -> list[int]:
    """All ids, each once, in the order in which they were given."""
    return list(dict.fromkeys(task_id for ids in groups for task_id in ids))


def one_of(words: type[Word]) -> Callable[[str], Word]:
    """Take one of these words, or say which was probably meant."""

    def parse(text: str) -> Word:
        if text in list(words):
            return words(text)

        raise typer.BadParameter(f"{text!r} is not known; {suggestion(text, list(words))}")

    return parse


def line(text: str) -> str:
    """Text that a database can keep: what a shell hands over need not be."""
    if "\0" in text or any("\ud800" <= each <= "\udfff" for each in text):
        raise typer.BadParameter(f"{text!r} is not UTF-8 text; write it in UTF-8")
    return text


OneId = Annotated[int, typer.Argument(metavar="ID", parser=_task_id, help="A task's id, as Redrive gave it.")]
Ids = Annotated[
    list[Any], typer.Argument(metavar="ID", parser=_task_ids, help="Tasks' ids; - reads them from standard input.")
]
MaybeIds = Annotated[
    list[Any] | None,
    typer.Argument(
        metavar="ID",
        parser=_task_ids,
        help="Tasks' ids; - reads them, or what `redrive list --json` writes, from standard input.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON for programs; moments are ISO 8601 in UTC.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", parser=line, help="Why: recorded, with who and when.")]

Accounts = Annotated[
    list[str] | None,
    typer.Option("--account", "-a", metavar="NAME", parser=line, help="Of this account.", rich_help_panel=WHICH),
]
Statuses = Annotated[
    list[Any] | None,
    typer.Option(
        "--status", "-s", metavar="STATUS", parser=one_of(Status), help=f"{', '.join(Status)}.", rich_help_panel=WHICH
    ),
]


def when(text: str) -> datetime | timedelta:
    """``2h``, ``7d`` or a moment."""
    try:
        if (ago := _time(text)) is not None:
            return ago
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        words = "must be a time such as 90s, 30m, 2h or 7d, or a moment such as 2030-01-31T12:00"
        raise typer.BadParameter(words) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def age(text: str) -> timedelta:
    """``2h`` or ``7d``."""
    try:
        if (time := _time(text)) is not None:
            return time
    except OverflowError:
        pass
    raise typer.BadParameter("must be a time such as 90s, 30m, 2h or 7d")


def _time(text: str) -> timedelta | None:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip(), re.ASCII)
    return min(timedelta(**{_UNITS[found[2]]: float(found[1])}), timedelta(days=36_500)) if found else None


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
WHEN = "90s, 30m, 2h, 7d, or a moment as 2030-01-31T12:00 (UTC)"

Since = Annotated[Any, typer.Option(metavar="WHEN", parser=when, help=f"Since then: {WHEN}.")]
Until = Annotated[Any, typer.Option(metavar="WHEN", parser=when, help="Before then.")]
Age = Annotated[
    Any, typer.Option(metavar="TIME", parser=age, help="Instead of what [retention] says: 90s, 30m, 2h, 7d, or 0s.")
]
