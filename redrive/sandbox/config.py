"""What the sandbox serves, and for which callers. Every default is written on its page, ``GET /``."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class GeeLarkLogin:
    """Token mode and signed key mode; both are accepted side by side."""

    token: str = "sandbox-token"  # noqa: S105 - public: it is what the page tells people to use
    app_id: str = "sandbox-app"
    api_key: str = "sandbox-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class HuaweiLogin:
    """Signed requests (AK/SK), a ready token, and the user whose password yields tokens of 24 hours.

    ``security_token`` makes the AK/SK pair a temporary one: requests must then carry it as X-Security-Token.
    """

    project_id: str = "0123456789abcdef0123456789abcdef"
    access_key: str = "SANDBOXAK"
    secret_key: str = "SANDBOXSK"  # noqa: S105 - public, as above
    security_token: str = ""
    auth_token: str = "sandbox-auth-token"  # noqa: S105 - public, as above
    iam_user: str = "sandbox-user"
    iam_password: str = "sandbox-password"  # noqa: S105 - public, as above
    iam_domain: str = "sandbox-domain"


@dataclass(frozen=True, slots=True, kw_only=True)
class DocFlowLogin:
    """Static headers or HMAC; both are accepted side by side."""

    app_id: str = "sandbox-app"
    secret_code: str = "sandbox-secret"  # noqa: S105 - public, as above
    workspace_id: str = "1234567890"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """One sandbox.

    Attributes:
        run_seconds: how long a re-run takes; its first quarter is spent waiting in the provider's queue.
        settle_lag_seconds: how long status calls still show the old end after an accepted retry.
        latency_seconds: between applying a call and answering it.
        geelark_per_minute: published: 200 per API and minute, above it code 40007; None: no limit.
        geelark_per_hour: published: 24,000 per API and hour, above it code 40014 for two hours; None: no limit.
        huawei_per_minute: the gateway's limit per API and minute (429, APIGW.0308); nothing is published.
        docflow_per_minute: calls per API and minute before code 40306; nothing is published.
        geelark_details: how a partial refusal is written. The published example has string codes though its table
            says integer, and the details may be absent.
        geelark_all_failed: the outer code when every id of several is refused: 40009 with details, 40000 without.
        huawei_new_ids: whether an accepted retry answers a new task id, with records of its own, or the old one.
        seed: of the dice that faults with a probability are thrown with.
    """

    geelark: GeeLarkLogin = field(default_factory=GeeLarkLogin)
    huawei: HuaweiLogin = field(default_factory=HuaweiLogin)
    docflow: DocFlowLogin = field(default_factory=DocFlowLogin)
    run_seconds: float = 1.0
    settle_lag_seconds: float = 0.0
    latency_seconds: float = 0.0
    geelark_per_minute: int | None = 200
    geelark_per_hour: int | None = 24_000
    huawei_per_minute: int | None = None
    docflow_per_minute: int | None = None
    geelark_details: Literal["strings", "numbers", "missing", "null", "object"] = "strings"
    geelark_all_failed: Literal[40009, 40000] = 40009
    huawei_new_ids: bool = True
    seed: int = 0
