"""What the scheduler, the settings and the CLI must know of a provider, as plain values.

The code that builds requests and reads answers lives in ``redrive.worker.providers`` and is loaded by the worker only.
Our providers' values are in ``redrive.models.providers``. A third party's are the attribute ``capabilities`` of the
class that it registers in the entry-point group ``redrive.providers``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .states import Operation


@dataclass(frozen=True, slots=True)
class Option:
    """One key of an ``[accounts.NAME]`` table that belongs to the provider.

    Attributes:
        secret: must be given as ``{ env = NAME }`` or ``{ file = PATH }``, and is scrubbed from all text.
        required: must be there whatever the credentials are.
        header: is sent in a header as it is, which takes printable ASCII and nothing else.
        identity: part of what makes two accounts the same credential.
        default: used when the key is absent; None means "not given".
        choices: the only values allowed, when not empty.
        pattern: a regular expression the whole value must match, when not empty.
        example: shown in errors and in the file that ``redrive init`` writes; of a secret, the variable that has it.
    """

    secret: bool = False
    header: bool = False
    required: bool = False
    identity: bool = False
    type: Literal["string", "boolean"] = "string"
    default: str | bool | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of task at a provider.

    Attributes:
        name: the value of the column ``kind`` ('' for a provider's only sort).
        retry_path: the API path its retry call counts against.
        check_path: the same for its status call.
        sub_id: whether ``sub_id`` is needed ("required") or must be empty ("forbidden").
        digits: whether ids are all digits.
        check_first: a check must precede the first retry (DocFlow: a rule's membership of its review).
        conflict: two tasks of the same ``external_id`` whose kinds name different, non-empty conflicts are never
            under way together (DocFlow: a whole review and its rules).
    """

    name: str
    retry_path: str
    check_path: str
    sub_id: Literal["required", "forbidden"] = "forbidden"
    digits: bool = False
    check_first: bool = False
    conflict: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A provider as plain values.

    Attributes:
        provider: the name used in settings and queues.
        title: for people.
        account: the name of its account in examples; '' is the provider's own.
        base_url: the default; ``{region}``-like fields are filled from the account's options.
        kinds: the first is the default; see :meth:`default_kind`.
        retry_cap: the provider's own limit of retries per task, or None.
        retry_ids: ids one retry call can take.
        check_ids: ids one status call can take; 0 when the provider has no status call.
        calls_per_minute: our default rate per API path.
        calls_per_hour: our default rate per API path and hour.
        published_per_minute: the provider's published rate, or None: going above it is a warning.
        published_per_hour: the same for an hour.
        concurrency: default of calls at once per worker process.
        retries_by_itself: origins whose tasks the provider retries on its own before giving up.
        options: the account keys that belong to this provider.
        credentials: alternatives; exactly one set of options must be given in full.
        optional_with: options allowed only beside the named credential set's first option.
        optional_path: an ending of the address that means the same as its absence, and is taken off.
        read_bytes: the largest answer that is read; a page of a hundred records needs some ten thousand.
        read_items: the most values that the JSON of an answer may hold.
    """

    provider: str
    title: str
    base_url: str
    kinds: tuple[Kind, ...]
    account: str = ""
    retry_ids: int = 1
    check_ids: int = 1
    retry_cap: int | None = None
    calls_per_minute: float = 60
    calls_per_hour: float = 3600
    published_per_minute: float | None = None
    published_per_hour: float | None = None
    concurrency: int = 16
    retries_by_itself: frozenset[str] = frozenset()
    options: Mapping[str, Option] = field(default_factory=dict)
    credentials: tuple[tuple[str, ...], ...] = ()
    optional_with: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional_path: str = ""
    read_bytes: int = 1024 * 1024
    read_items: int = 150_000

    @property
    def can_check(self) -> bool:
        """Whether the provider can be asked for a task's state."""
        return self.check_ids > 0

    def default_kind(self, sub_id: str = "") -> Kind:
        """The kind meant when none is named: the first, or the first that takes a ``sub_id`` when one is given."""
        wanted = "required" if sub_id else "forbidden"
        return next((kind for kind in self.kinds if kind.sub_id == wanted), self.kinds[0])

    @property
    def every_kind(self) -> tuple[str, ...]:
        """The names of all kinds."""
        return tuple(kind.name for kind in self.kinds)

    def kind(self, name: str) -> Kind | None:
        """The kind of that name, or None."""
        return next((kind for kind in self.kinds if kind.name == name), None)

    def paths(self, operation: Operation) -> dict[str, tuple[str, ...]]:
        """API path → the kinds whose calls of that operation count against it."""
        paths: dict[str, tuple[str, ...]] = {}
        for kind in self.kinds:
            path = kind.retry_path if operation is Operation.RETRY else kind.check_path
            paths[path] = (*paths.get(path, ()), kind.name)
        return paths

    def ids_per_call(self, operation: Operation) -> int:
        """Ids one call of the operation takes."""
        return self.retry_ids if operation is Operation.RETRY else self.check_ids
