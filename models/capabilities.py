"""What the scheduler, the settings and the CLI must know of a provider, as plain values.

The code that builds requests and reads answers lives in ``redrive.worker.providers`` and is loaded by the worker only.
A third party's provider announces its capabilities as the attribute ``capabilities`` of the class it registers
in the entry-point group ``redrive.providers``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import entry_points
from typing import Literal

from .states import Operation

ENTRY_POINT_GROUP = "redrive.providers"


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
        example: shown in errors and in the file that ``redrive init`` writes.
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


GEELARK = Capabilities(
    provider="geelark",
    title="GeeLark cloud phones",
    base_url="https://openapi.geelark.com",
    kinds=(Kind("", "/open/v1/task/restart", "/open/v1/task/query"),),
    # The restart page names no maximum; 100 is that of its sibling calls query, cancel and historyRecords.
    retry_ids=100,
    check_ids=100,
    retry_cap=5,  # "A task can be retried up to 5 times" (Retry Task page)
    # Published: 200 a minute and 24,000 an hour per API; going over locks the API for two hours, so stay well below.
    calls_per_minute=180,
    calls_per_hour=20_000,
    published_per_minute=200,
    published_per_hour=24_000,
    retries_by_itself=frozenset({"client_ui"}),  # "will automatically retry up to 2 times" (Retry Task page)
    options={
        "token": Option(secret=True, header=True, identity=True, example="GEELARK_TOKEN"),
        "app_id": Option(header=True, identity=True, example="eH6gQR4oHr3FsZpI36La01IW"),
        "api_key": Option(secret=True, example="GEELARK_API_KEY"),
    },
    credentials=(("token",), ("app_id", "api_key")),
)

HUAWEI_WORKSPACE = Capabilities(
    provider="huawei_workspace",
    title="Huawei Cloud Workspace scripts",
    base_url="https://workspace.{region}.myhuaweicloud.com",
    kinds=(
        Kind("task", "/script-executions/retry", "/script-execution-records"),
        Kind("record", "/script-executions/retry", "/script-execution-records"),
    ),
    # No rate is published for this API; other Huawei services were seen to limit writes to 10 a minute.
    calls_per_minute=10,
    calls_per_hour=600,
    concurrency=4,
    options={
        "region": Option(required=True, pattern=r"[a-z]{2}-[a-z]+-[0-9]+", example="ap-southeast-1"),
        "project_id": Option(
            required=True, identity=True, pattern=r"[0-9A-Za-z_-]{1,64}", example="0123456789abcdef0123456789abcdef"
        ),
        "access_key": Option(secret=True, header=True, identity=True, example="HW_AK"),
        "secret_key": Option(secret=True, example="HW_SK"),
        "security_token": Option(secret=True, header=True, example="HW_SECURITY_TOKEN"),
        "auth_token": Option(secret=True, header=True, identity=True, example="HW_AUTH_TOKEN"),
        "iam_user": Option(identity=True, example="redrive"),
        "iam_password": Option(secret=True, example="HW_IAM_PASSWORD"),
        "iam_domain": Option(identity=True, example="example-domain"),
        "iam_url": Option(example="https://iam.ap-southeast-1.myhuaweicloud.com"),
    },
    credentials=(("access_key", "secret_key"), ("auth_token",), ("iam_user", "iam_password", "iam_domain")),
    optional_with={"access_key": ("security_token",), "iam_user": ("iam_url",)},
)

DOCFLOW = Capabilities(
    provider="docflow",
    title="TextIn DocFlow reviews",
    base_url="https://docflow.textin.ai",
    kinds=(
        Kind("review_task", "/review/task/retry", "/review/task/result", digits=True, conflict="whole"),
        Kind(
            "review_rule",
            "/review/task/rule/retry",
            "/review/task/result",
            sub_id="required",
            digits=True,
            check_first=True,
            conflict="rule",
        ),
    ),
    # "Control the frequency" is all that is published.
    calls_per_minute=60,
    calls_per_hour=3_600,
    concurrency=8,
    options={
        "app_id": Option(secret=True, header=True, required=True, identity=True, example="TI_APP_ID"),
        "secret_code": Option(secret=True, header=True, required=True, example="TI_SECRET"),
        "auth": Option(default="headers", choices=("headers", "hmac"), example="headers"),
        "workspace_id": Option(pattern=r"[0-9]{1,64}", example="1234567890"),
        "enterprise_id": Option(pattern=r"[0-9]{1,64}", example="1234567890"),
        "archive_results": Option(type="boolean", default=False, example="false"),
    },
    credentials=(("app_id", "secret_code"),),
    # The SDK's base ends with it, the documents' paths begin with it: both forms are given as base_url.
    optional_path="/api",
    # A review's result shows all its rules with their reasoning, and is archived whole.
    read_bytes=8 * 1024 * 1024,
    read_items=200_000,
)

BUILT_IN: Mapping[str, Capabilities] = {c.provider: c for c in (GEELARK, HUAWEI_WORKSPACE, DOCFLOW)}


def known_providers() -> list[str]:
    """Every provider that can be named in settings, built in or registered by another package."""
    registered = (point.name for point in entry_points(group=ENTRY_POINT_GROUP))
    return sorted({*BUILT_IN, *registered})


def capabilities_of(provider: str) -> Capabilities | None:
    """The capabilities of a provider, or None when nobody provides one of that name.

    Built-in ones are values of this module; asking for them loads no provider code.
    """
    if provider in BUILT_IN:
        return BUILT_IN[provider]
    for point in entry_points(group=ENTRY_POINT_GROUP, name=provider):
        return _ours(point.load().capabilities)
    return None


def _ours(found: object) -> Capabilities:
    """The value in our own classes: a host's client works on a second copy of this package."""
    if isinstance(found, Capabilities):
        return found
    values = {each.name: getattr(found, each.name) for each in fields(Capabilities)}
    values["kinds"] = tuple(Kind(**asdict(kind)) for kind in values["kinds"])
    values["options"] = {key: Option(**asdict(option)) for key, option in values["options"].items()}
    return Capabilities(**values)
