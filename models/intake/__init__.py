"""The checks on what people hand in: a row by column name → a task that may be stored.

Every refusal is :class:`redrive.models.errors.BadInput`: one message with the field, its value and the remedy.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..capabilities import Capabilities, Kind
from ..errors import BadInput
from ..failure import LONGEST
from ..ledger import NewTask
from ..states import OWNER_STATES, Status
from . import cells, values
from .refusal import refused

COLUMNS = (
    "account", "kind", "external_id", "sub_id", "origin", "status", "failed_at", "reason", "failure", "priority",
    "max_retries", "params",
)  # fmt: skip
"""What a row may say. ``account`` and ``external_id`` are needed."""

NEEDED = ("account", "external_id")
MOST_RETRIES = 1000
_FIRST_ACCOUNT = (
    "add [accounts.NAME] to redrive.toml and name the file with config= or REDRIVE_CONFIG, or start a scheduler "
    "once on this database: it then knows the accounts"
)
_OUR_STATES = frozenset(Status) - frozenset(OWNER_STATES)

CapabilitiesOf = Mapping[str, Capabilities]
"""What the provider of each known account can do, by the account's name."""


class Identity(NamedTuple):
    """What makes two tasks the same."""

    account: str
    kind: str
    external_id: str
    sub_id: str


def new_task(row: Mapping[str, Any], capabilities_of: CapabilitiesOf) -> NewTask:
    """The task a row tells of.

    Raises:
        BadInput: for the first thing that is wrong with it.
    """
    if not isinstance(row, Mapping):
        raise refused("row", row, "must be a mapping of column names to values")
    refuse_unknown(row)
    row = cells.read(row)
    who = _identity(row, capabilities_of)
    return NewTask(
        **who._asdict(),
        origin=values.line("origin", row.get("origin"), 64),
        status=owner_status(row.get("status")),
        failed_at=values.moment("failed_at", row.get("failed_at")),
        reason=values.words("reason", row.get("reason")),
        failure=values.line("failure", _as_text(row.get("failure")), LONGEST),
        priority=values.integer("priority", row.get("priority"), -1, 1) or 0,
        max_retries=_max_retries(row.get("max_retries"), capabilities_of[who.account]),
        params=values.json_object("params", row.get("params")),
    )


def identity(row: Mapping[str, Any], capabilities_of: CapabilitiesOf) -> Identity:
    """The identity a row tells of; its kind is the provider's default where none is named.

    Raises:
        BadInput: when the account is not known, an id is missing or in no form the kind allows.
    """
    return _identity(cells.read(row), capabilities_of)


def _identity(row: Mapping[str, Any], capabilities_of: CapabilitiesOf) -> Identity:
    account = _account(row.get("account"), capabilities_of)
    capabilities = capabilities_of[account]
    name, given = values.line("kind", row.get("kind"), 64), values.line("sub_id", _as_text(row.get("sub_id")), 255)
    kind = _kind(name, capabilities) if name else capabilities.default_kind(given)
    external_id = values.identifier("external_id", row.get("external_id"), digits=kind.digits)
    if not external_id:
        raise BadInput("external_id: is missing; it is the id the provider gave the task")
    return Identity(account, kind.name, external_id, _sub_id(row.get("sub_id"), kind))


def owner_status(value: object) -> Status:
    """A status an owner may add a task with; ``failed`` when none is given."""
    if value is None or value == "":
        return Status.FAILED
    if isinstance(value, str) and value in _OUR_STATES:
        raise refused("status", value, f"is Redrive's own; a task is added as {', '.join(OWNER_STATES)}")
    return Status(values.choice("status", value, OWNER_STATES))


def reported_status(value: object) -> Status:
    """A status an owner may report."""
    return Status(values.choice("status", value, (*OWNER_STATES, Status.SUCCEEDED)))


def refuse_unknown(names: Iterable[Any]) -> None:
    """Refuse column names that are none of ours.

    Raises:
        BadInput: with the one that was probably meant.
    """
    for name in names:
        if name not in COLUMNS:
            raise refused("column", name, f"is not known; {values.did_you_mean(str(name), COLUMNS)}")


def _account(value: object, known: CapabilitiesOf) -> str:
    name = values.line("account", value, 64)
    if name in known:
        return name
    if not known:
        raise BadInput(f"account: none is configured; {_FIRST_ACCOUNT}")
    if not name:
        raise BadInput(f"account: is missing; {values.did_you_mean('', known)}")
    raise refused("account", name, f"is not configured; {values.did_you_mean(name, known)}")


def _kind(name: str, capabilities: Capabilities) -> Kind:
    kind = capabilities.kind(name)
    if kind is None:
        known = [each.name for each in capabilities.kinds]
        hint = "leave it empty" if known == [""] else values.did_you_mean(name, known)
        raise refused("kind", name, f"is not a kind of {capabilities.title}; {hint}")
    return kind


def _sub_id(value: object, kind: Kind) -> str:
    sub_id = values.identifier("sub_id", value, digits=kind.digits)
    name = f"kind {kind.name}" if kind.name else "this provider"
    if kind.sub_id == "required" and not sub_id:
        raise BadInput(f"sub_id: is missing; {name} needs it")
    if kind.sub_id == "forbidden" and sub_id:
        raise refused("sub_id", sub_id, f"must be empty; {name} has none")
    return sub_id


def _as_text(value: object) -> str:
    """Whether a ``sub_id`` is given decides the kind; its form is checked by that kind."""
    return "" if value is None else str(value)


def _max_retries(value: object, capabilities: Capabilities) -> int | None:
    own = values.integer("max_retries", value, 0, MOST_RETRIES)
    if own is not None and capabilities.retry_cap is not None and own > capabilities.retry_cap:
        cap = f"{capabilities.title} takes at most {capabilities.retry_cap} per task"
        raise refused("max_retries", own, f"is above the provider's cap; {cap}")
    return own
