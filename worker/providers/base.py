"""What a provider is: a translator without any I/O of its own.

"These tasks → these calls", "this exchange → these outcomes", and the same for checks. The sender makes every call,
so that each takes a permit of its path, is recorded first and is cut off in time. Third parties add a provider by
writing this class and registering it in the entry-point group ``redrive.providers``; the contract suite in
``tests/contract`` is what it must pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import httpx

from redrive.models.capabilities import Capabilities
from redrive.models.outcome import CheckResult, Outcome

Fault = Literal["", "credentials", "task"]


@dataclass(frozen=True, slots=True)
class Account:
    """One credential as a provider needs it: resolved, so it holds secrets. Never printed, logged or pickled.

    Attributes:
        name: the account's name in the settings.
        base_url: without a trailing slash.
        options: the provider's own keys with their values, secrets resolved; absent keys are absent or None.
    """

    name: str
    base_url: str
    options: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class TaskRef:
    """What a provider may know of a task. ``ref`` is the newest id the provider itself gave for it ('' if none)."""

    id: int
    kind: str
    external_id: str
    sub_id: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as a value.

    Attributes:
        path: appended to the account's base URL, or to ``base_url`` where that is given (a login host).
        json: the body, sent as compact JSON in UTF-8; None sends no body.
        authenticated: False for a login.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    json: Any = field(default=None, repr=False)  # a login's holds the password
    base_url: str | None = None
    authenticated: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP call about some tasks.

    Attributes:
        limit_path: the API path whose permit it needs (a ``Kind.retry_path`` / ``check_path``, or a login's).
        carry: what the provider wants handed back with the answer (pages read so far).
    """

    request: Request
    tasks: tuple[TaskRef, ...]
    limit_path: str
    carry: Any = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls for some tasks, and those for which none can be made: outcomes of retries, results of checks."""

    calls: tuple[Call, ...]
    refused: Mapping[int, Outcome | CheckResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer: any three-digit status, header names in lower case, the body within the size limit."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # a login's hold the token
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchange:
    """What became of one call.

    Attributes:
        sent: whether any byte of the request left this machine; only the transport knows.
        answer: None unless it arrived whole and within the size limit.
        error: words for people when there is no answer; already free of secrets.
        withheld: we ourselves decided not to send (too late, asked to stop): nothing went wrong.
        late: we decided so because connecting took too long.
        fault: whose fault it is that nothing was sent: the account's credentials, the task's request, or neither.
    """

    sent: bool
    answer: Answer | None = None
    error: str = ""
    withheld: bool = False
    late: bool = False
    fault: Fault = ""


@dataclass(frozen=True, slots=True)
class Split:
    """The call was refused as a whole although perhaps only one id is bad: halve it and ask again.

    ``outcome`` is what the one task gets when the call had a single id.
    """

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CheckResults:
    """What a status call answered: a check per task, or the next page to ask for first.

    A page keeps the tasks of the first call and carries what was read, so the last answer yields all the checks.
    """

    results: Mapping[int, CheckResult] = field(default_factory=dict)
    more: Call | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """What a login call yielded. ``valid_seconds`` counts from the answer."""

    value: str = field(repr=False)
    valid_seconds: float = 0.0


class Provider(Protocol):
    """One provider for one account. Construction does no I/O."""

    capabilities: ClassVar[Capabilities]

    def __init__(self, account: Account) -> None: ...

    def auth(self, token: str | None) -> httpx.Auth:
        """Signs a request; ``token`` is what the last login yielded, where this account logs in."""
        ...

    def retries(self, tasks: Sequence[TaskRef]) -> Plan:
        """The retry calls for these tasks; no id twice in a call, never more ids than the provider takes."""
        ...

    def outcomes(self, call: Call, exchange: Exchange) -> Mapping[int, Outcome] | Split:
        """One outcome per task of the call, whatever happened. Never raises."""
        ...

    def checks(self, tasks: Sequence[TaskRef]) -> Plan:
        """The status calls for these tasks."""
        ...

    def results(self, call: Call, exchange: Exchange) -> CheckResults:
        """One check per task of the call, or the next page. Never raises."""
        ...

    def login(self) -> Call | None:
        """The call that yields a token, for accounts that log in; None for all others."""
        ...

    def token(self, exchange: Exchange) -> Token | Outcome:
        """Reads a login's answer. Never raises."""
        ...
