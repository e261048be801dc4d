"""Arguments and options that several commands share."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any

import typer

from models.states import DeadReason, Status

if TYPE_CHECKING:
    from models.queries import TaskFilter

_WHICH = "Which tasks"
LARGEST_ID = 2**63 - 1


def _task_id(text: str) -> int:
    """A number that a database can keep."""
    if text.isascii() and text.isdigit() and 0 < int(text[:20]) <= LARGEST_ID:
        return int(text)
    raise typer.BadParameter(f"{text!r} is no task's id; `redrive list --external-id` finds it")


OneId = Annotated[int, typer.Argument(metavar="ID", parser=_task_id, help="A task's id, as Redrive gave it.")]
Ids = Annotated[list[int], typer.Argument(metavar="ID", parser=_task_id, help="Tasks' ids.")]
MaybeIds = Annotated[
    list[int] | None, typer.Argument(metavar="ID", parser=_task_id, help="Tasks' ids.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="JSON for programs; moments are ISO 8601 in UTC.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Reason = Annotated[str, typer.Option("--reason", help="Why: recorded, with who and when.")]

Accounts = Annotated[
    list[str] | None,
    typer.Option("--account", "-a", metavar="NAME", help="Of this account.", rich_help_panel=_WHICH),
]
Statuses = Annotated[
    list[Status] | None,
    typer.Option("--status", "-s", metavar="STATUS", help=f"{', '.join(Status)}.", rich_help_panel=_WHICH),
]
_FILTER: Mapping[str, object] = {
    "account": Accounts,
    "status": Statuses,
    "dead_reason": Annotated[
        list[DeadReason] | None,
        typer.Option(metavar="REASON", help=f"Dead: {', '.join(DeadReason)}.", rich_help_panel=_WHICH),
    ],
    "kind": Annotated[list[str] | None, typer.Option(metavar="KIND", help="Of this kind.", rich_help_panel=_WHICH)],
    "external_id": Annotated[
        list[str] | None, typer.Option(metavar="ID", help="With this id at the provider.", rich_help_panel=_WHICH)
    ],
    "due": Annotated[bool, typer.Option("--due", help="To be retried or looked at now.", rich_help_panel=_WHICH)],
    "since": Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Status changed since: 90s, 30m, 2h, 7d, or a moment as 2030-01-31T12:00 (UTC).",
            rich_help_panel=_WHICH,
        ),
    ],
}
"""The options of a filter. Those that take a value may be given several times: one of the values must match."""


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a filter; what they mean is handed to it as ``wanted``."""
    own = [each for each in signature(command).parameters.values() if each.name != "wanted"]
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=False if name == "due" else None)
        for name, annotation in _FILTER.items()
    ]

    @wraps(command)
    def filtered(**given: Any) -> None:
        named = {name: given.pop(name) for name in _FILTER}
        command(**given, wanted=_filter(**named))

    # Typer reads the options of a command off these two.
    filtered.__signature__ = Signature([*own, *options])  # type: ignore[attr-defined]
    filtered.__annotations__ = {each.name: each.annotation for each in (*own, *options)}
    return filtered


def _filter(*, due: bool, since: str | None, **named: list[Any] | None) -> "TaskFilter":
    from models.queries import TaskFilter  # noqa: PLC0415 - heavy

    return TaskFilter(
        accounts=tuple(named["account"] or ()),
        statuses=tuple(named["status"] or ()),
        dead_reasons=tuple(named["dead_reason"] or ()),
        kinds=tuple(named["kind"] or ()),
        external_ids=tuple(named["external_id"] or ()),
        due=due,
        since=since_when(since) if since is not None else None,
    )


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since_when(text: str) -> datetime | timedelta:
    """``2h``, ``7d`` or a moment.

    Raises:
        typer.BadParameter: it is neither.
    """
    try:
        if found := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip()):
            wanted = timedelta(**{_UNITS[found[2]]: float(found[1])})
            return min(wanted, timedelta(days=36_500))
        moment = datetime.fromisoformat(text.strip())
    except (ValueError, OverflowError):
        words = "must be a time such as 90s, 30m, 2h or 7d, or a moment such as 2030-01-31T12:00"
        raise typer.BadParameter(words, param_hint="--since") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
