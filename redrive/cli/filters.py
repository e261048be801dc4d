"""The filter of commands that are about many tasks: its options, and what they mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any
from uuid import UUID

import typer

from redrive.models import queries
from redrive.models.queries import TaskFilter
from redrive.models.rules import Rules
from redrive.models.sql.db import Transaction
from redrive.models.states import DeadReason

from .options import WHEN, WHICH, Accounts, Statuses, line, one_of, when


def _batch_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        words = "is not the id of a batch; logs, Flower and `redrive show` have it"
        raise typer.BadParameter(f"{text!r} {words}") from None


_FILTER: Mapping[str, object] = {
    "account": Accounts,
    "status": Statuses,
    "dead_reason": Annotated[
        list[Any] | None,
        typer.Option(
            metavar="REASON", parser=one_of(DeadReason), help=f"Dead: {', '.join(DeadReason)}.", rich_help_panel=WHICH
        ),
    ],
    "kind": Annotated[
        list[str] | None, typer.Option(metavar="KIND", parser=line, help="Of this kind.", rich_help_panel=WHICH)
    ],
    "external_id": Annotated[
        list[str] | None,
        typer.Option(metavar="ID", parser=line, help="With this id at the provider.", rich_help_panel=WHICH),
    ],
    "origin": Annotated[
        list[str] | None, typer.Option(metavar="WORD", parser=line, help="With this origin.", rich_help_panel=WHICH)
    ],
    "priority": Annotated[
        list[int] | None, typer.Option(min=-1, max=1, help="With this priority.", rich_help_panel=WHICH)
    ],
    "batch": Annotated[
        list[Any] | None,
        typer.Option(
            metavar="ID",
            parser=_batch_id,
            help="Claimed into this batch, be they in it still or not.",
            rich_help_panel=WHICH,
        ),
    ],
    "due": Annotated[bool, typer.Option("--due", help="To be retried or checked now.", rich_help_panel=WHICH)],
    "set_aside": Annotated[
        bool, typer.Option("--set-aside", help="Set aside by Redrive itself.", rich_help_panel=WHICH)
    ],
    "since": Annotated[
        Any, typer.Option(metavar="WHEN", parser=when, help=f"Status changed since: {WHEN}.", rich_help_panel=WHICH)
    ],
    "until": Annotated[
        Any, typer.Option(metavar="WHEN", parser=when, help="Status changed before that.", rich_help_panel=WHICH)
    ],
}
"""The options of a filter. Those that take a value may be given several times: one of the values must match."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter as it was given, its names not yet looked up."""

    fields: Mapping[str, Any]
    batches: tuple[UUID, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.batches) or any(value not in ((), False, None) for value in self.fields.values())

    def found(self, t: Transaction, rules_of: Mapping[str, Rules]) -> TaskFilter:
        """The filter, its names checked.

        Raises:
            BadInput: an account, a kind or a batch does not exist.
        """
        wanted = queries.TaskFilter(**self.fields)
        queries.check_names(t, wanted, rules_of)
        return replace(wanted, ids=queries.ids_of_batches(t, self.batches)) if self.batches else wanted


_FLAGS = {"due", "set_aside"}


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a filter; what they mean is handed to it as ``wanted``."""
    own = [each for each in signature(command).parameters.values() if each.name != "wanted"]
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=False if name in _FLAGS else None)
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


def _filter(*, batch: list[UUID] | None, **given: Any) -> Wanted:
    several = {field: tuple(given.pop(name) or ()) for name, field in _PLURAL.items()}
    return Wanted(several | given, tuple(batch or ()))


_PLURAL = {
    "account": "accounts", "status": "statuses", "dead_reason": "dead_reasons", "kind": "kinds",
    "external_id": "external_ids", "origin": "origins", "priority": "priorities",
}  # fmt: skip
