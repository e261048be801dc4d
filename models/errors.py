"""Every error of ours, and what the one who catches it does.

- ``SettingsError``: stop; each problem names its key and the remedy (exit 2).
- ``BadInput``: refuse; what somebody handed in is wrong, the message is for them (exit 1).
- ``SchemaError``: stop; the database is not at the schema this version needs (exit 2).
- ``SchemaBehind``: the same; a service waits for it, since `redrive migrate` may be on its way.
- ``StaleBatch``: stop quietly; the batch is no longer ours, and its tasks are in other hands.
- ``Unreachable``: say so and try later; database or broker does not answer, or refuses everybody (exit 1).
- ``Locked``: the same, and other work can go on: another transaction holds what is wanted (exit 1).
- ``DatabaseError``: the same; the database answers and refuses, and its words name what is to be changed (exit 1).
- ``Unsuitable``: the database answers and cannot be worked on: stop at a start (exit 2), later say so and wait.
"""

from collections.abc import Sequence


class RedriveError(Exception):
    """Base of all errors that Redrive raises on purpose."""


class SettingsError(RedriveError):
    """One or more settings are wrong.

    Attributes:
        problems: each "key: what is wrong and what to do", in the order found.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class BadInput(RedriveError, ValueError):  # noqa: N818 - reads as what it is
    """Something handed to Redrive cannot be taken; the message names it and the remedy."""


class SchemaError(RedriveError):
    """The database's schema is missing, older or newer than this version needs."""


class SchemaBehind(SchemaError):  # noqa: N818 - a fact, not a fault
    """The tables are missing or older than this version needs: `redrive migrate` makes them."""


class StaleBatch(RedriveError):  # noqa: N818 - a fact, not a fault
    """The batch was lost or ended: a late writer must drop what it holds."""


class Unreachable(RedriveError):  # noqa: N818 - a fact, not a fault
    """The database or the broker did not answer; the message names it without its password."""


class Locked(Unreachable):
    """Another transaction holds what is wanted, and has held it for longer than we wait."""


class DatabaseError(Unreachable):
    """The database answers and refuses: a right is missing, the disk is full, it is read-only. It may pass."""


class Unsuitable(SchemaError, Unreachable):  # noqa: N818 - a fact, not a fault
    """The database answers, and is not what Redrive can work on: its encoding, its version, a pooler before it."""
