"""What a seed decides before anything happens: accounts and their settings, tasks, and which troubles there are."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from redrive.sandbox.behavior import DETAILS, DOCFLOW, GEELARK, HUAWEI_WORKSPACE, REFUSALS, Detail
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.script import Script, make_id, rule_ids
from tests.simulation.broker import Troubles
from tests.simulation.faults import OF, SLOW, Fault
from tests.simulation.provider import Strikes

TIMEOUT_SECONDS, LEASE_SECONDS, SETTLE_SECONDS = 6, 25, 40
CHECK_TIMEOUT_SECONDS = 5400
HOURLY = 30
RUN_SECONDS = (5, 90)
URL = "https://sandbox.test"


def dice(seed: int, concern: str) -> Random:
    """Dice of one concern: what is thrown for one moves no other."""
    return Random(f"{seed}/{concern}")


@dataclass(frozen=True)
class Account:
    """One account. Nothing befalls a calm one, so that it must not notice the others' troubles."""

    name: str
    provider: str
    options: Mapping[str, Any]
    group: str
    calls_per_minute: int
    calls_per_hour: int | None
    calm: bool
    strikes: Strikes


@dataclass(frozen=True)
class NewTask:
    account: str
    kind: str
    external_id: str
    script: Script
    sub_id: str = ""
    origin: str = ""
    max_retries: int | None = None

    @property
    def at_provider(self) -> tuple[str, str]:
        """The sort and the id under which the sandbox knows it."""
        return (self.kind, self.sub_id or self.external_id)


@dataclass(frozen=True)
class Strange:
    """Which strange things befall a simulation, each a number of times per hour."""

    odd_rows: float = 0.0
    host_locks: float = 0.0
    deletions: float = 0.0
    unreadable: float = 0.0
    clock_steps: float = 0.0
    calendar_steps: float = 0.0
    settings: float = 0.0


@dataclass(frozen=True)
class Edit:
    """What somebody made of the settings file.

    Attributes:
        policy: settings that differ.
        archive: of DocFlow's accounts.
        apart: accounts in a limit group of their own.
        missing: accounts that are not in it.
        renamed: accounts that stand in it under another name.
    """

    policy: Mapping[str, Any] = field(default_factory=dict)
    archive: bool | None = None
    apart: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """One simulation."""

    seed: int
    accounts: tuple[Account, ...]
    tasks: tuple[NewTask, ...]
    config: SandboxConfig
    policy: Mapping[str, Any]
    troubles: Troubles
    schedulers: int
    workers: int
    fault_seconds: float
    kills: bool
    kills_per_minute: float
    database_fails: float
    database_outages: bool
    broker_outages: bool
    stalls: float
    people: bool
    strange: Strange

    @property
    def calm_seconds(self) -> float:
        """In which the tasks of calm accounts end with ease when nothing else holds them up.

        A review and its rules run one after the other, each as often as it may.
        """
        calm = {account.name for account in self.accounts if account.calm}
        retries = Counter[str]()
        for task in self.tasks:
            if task.account in calm:
                retries[task.external_id] += task.max_retries or self.policy["max_retries"]
        rounds = max(retries.values(), default=0)
        one: float = self.config.run_seconds + self.policy["max_seconds"] + self.policy["check_max_seconds"]
        return max(900.0, rounds * one)

    @property
    def environ(self) -> Mapping[str, str]:
        login = self.config
        return {
            "GEELARK_TOKEN": login.geelark.token,
            "GEELARK_KEY": login.geelark.api_key,
            "HW_AK": login.huawei.access_key,
            "HW_SK": login.huawei.secret_key,
            "HW_PASSWORD": login.huawei.iam_password,
            "TI_APP_ID": login.docflow.app_id,
            "TI_SECRET": login.docflow.secret_code,
        }

    def toml(self, edit: Edit) -> str:
        """The settings file."""
        policy = {**self.policy, **edit.policy}
        lines = ["[policy]", *(f"{key} = {json.dumps(value)}" for key, value in policy.items())]
        lines += ["[scheduler]", "poll_seconds = 1", "[breaker]", "open_seconds = 10", "max_open_seconds = 60"]
        for account in self.accounts:
            lines += _account_lines(account, edit) if account.name not in edit.missing else []
        return "\n".join(lines) + "\n"


def _account_lines(account: Account, edit: Edit) -> list[str]:
    name = f"new-{account.name}" if account.name in edit.renamed else account.name
    group = f"{account.group}-{account.name}" if account.name in edit.apart else account.group
    options = dict(account.options)
    if account.provider == DOCFLOW and edit.archive is not None:
        options["archive_results"] = edit.archive
    lines = [f"[accounts.{name}]", f'provider = "{account.provider}"', f'base_url = "{URL}"']
    lines += [f"{key} = {_toml(value)}" for key, value in options.items()]
    lines += [f"[accounts.{name}.limits]", f'group = "{group}"', f"calls_per_minute = {account.calls_per_minute}"]
    lines += [f"calls_per_hour = {account.calls_per_hour}"] if account.calls_per_hour else []
    return [*lines, f"timeout_seconds = {TIMEOUT_SECONDS}", f"lease_seconds = {LEASE_SECONDS}"]


def _toml(value: object) -> str:
    return f'{{ env = "{value["env"]}" }}' if isinstance(value, dict) else json.dumps(value)


def make_plan(seed: int) -> Plan:
    """All that is decided beforehand. Each seed has only some of the troubles, and so more of each."""
    rng = dice(seed, "plan")
    # A run under a new id whose answer is lost cannot be found again: such a provider's answers all arrive.
    new_ids = rng.random() < 0.15
    kills = rng.random() < 0.75 and not new_ids
    lag = 0.0 if new_ids else rng.choice((0.0, 0.4, 0.95)) * SETTLE_SECONDS
    config = SandboxConfig(
        # Where it is shown late, a run is long enough to be met by whoever believes what is shown.
        run_seconds=rng.uniform(*RUN_SECONDS) if lag < SETTLE_SECONDS / 2 else rng.uniform(60, 120),
        settle_lag_seconds=lag,
        huawei_new_ids=new_ids,
        geelark_per_minute=None,
        geelark_per_hour=None,
        geelark_details=rng.choice(("strings", "numbers", "missing", "null", "object")),
        geelark_all_failed=rng.choice((40009, 40000)),
    )
    accounts = _accounts(seed, rng, config, new_ids=new_ids)
    return Plan(
        seed=seed,
        accounts=accounts,
        tasks=tuple(task for account in accounts for task in _tasks(rng, account)),
        config=config,
        policy=_policy(rng, config.settle_lag_seconds),
        troubles=Troubles(
            loses=rng.choice((0.0, 0.05, 0.3)),
            doubles=rng.choice((0.0, 0.1, 0.5)),
            delays=rng.choice((0.0, 0.1, 0.4)),
            longest_delay=rng.choice((3.0, 20.0, 60.0)),
        ),
        schedulers=rng.choice((1, 1, 2)),
        workers=rng.choice((1, 2, 3)),
        fault_seconds=rng.uniform(240, 720),
        kills=kills,
        kills_per_minute=rng.choice((0.0, 0.5, 2.0)) if kills else 0.0,
        database_fails=rng.choice((0.0, 0.0, 0.01, 0.03)) if not new_ids else 0.0,
        database_outages=rng.random() < 0.3 and not new_ids,
        broker_outages=rng.random() < 0.4,
        stalls=rng.choice((0.0, 0.0, 0.02, 0.05)) if not new_ids else 0.0,
        people=rng.random() < 0.3,
        strange=_strange(dice(seed, "strange"), lags=lag > 0, new_ids=new_ids),
    )


def _strange(rng: Random, *, lags: bool, new_ids: bool) -> Strange:
    """Some of it. A clock that jumps ahead ends the wait for a provider that lags, so that never both are tried."""

    def often(*rates: float) -> float:
        return rng.choice((0.0, *rates))

    return Strange(
        odd_rows=often(20, 60),
        host_locks=often(12, 30),
        deletions=often(0, 12),
        unreadable=often(0, 12, 30),
        clock_steps=often(0, 6) if not lags else 0.0,
        calendar_steps=often(0, 6),
        settings=often(0, 15, 30) if not new_ids else 0.0,
    )


def _policy(rng: Random, lag_seconds: float) -> dict[str, Any]:
    # First looks right before the new run shows are those whose answer is old when it comes.
    late = lag_seconds - rng.uniform(0.3, 2.5)
    return {
        "max_retries": rng.randint(1, 5),
        "base_seconds": rng.choice((2, 2, 5, 20)),
        "max_seconds": 60,
        "jitter": rng.choice(("full", "equal", "none")),
        "check_after_seconds": rng.choice((3, late if late > 20 else 10, max(20, late))),
        "check_max_seconds": 60,
        "settle_seconds": SETTLE_SECONDS,
        "check_timeout_seconds": CHECK_TIMEOUT_SECONDS,
        "check_before_retry": rng.choice(("auto", "always", "never")),
        "on_unknown": rng.choice(("hold", "retry")),
    }


def _accounts(seed: int, rng: Random, config: SandboxConfig, *, new_ids: bool) -> tuple[Account, ...]:
    providers = rng.sample((GEELARK, HUAWEI_WORKSPACE, DOCFLOW), k=rng.choice((1, 1, 1, 2, 2, 3)))
    if new_ids and HUAWEI_WORKSPACE not in providers:
        providers[0] = HUAWEI_WORKSPACE
    names = [(provider, number) for provider in sorted(providers) for number in range(1, _how_many(rng, provider) + 1)]
    calm = rng.choice(names) if len(providers) > 1 and rng.random() < 0.7 else None
    if calm is not None and (calm[0], 2) in names:
        calm = None  # its neighbour's penalties are its own
    rates = {provider: rng.choice((6, 12, 30, 60)) for provider in sorted(providers)}
    # Some have an hour so short that their calls fill it.
    hour = HOURLY if calm is None and dice(seed, "hours").random() < 0.15 else None
    return tuple(
        Account(
            name=f"{provider.split('_')[0]}{number}",
            provider=provider,
            options=_options(rng, provider, number, config),
            group=provider,
            calls_per_minute=rates[provider],
            calls_per_hour=hour,
            calm=(provider, number) == calm,
            strikes=_strikes(
                rng, provider, calm=(provider, number) == calm, hides=not new_ids, lag=config.settle_lag_seconds
            ),
        )
        for provider, number in names
    )


def _how_many(rng: Random, provider: str) -> int:
    """GeeLark takes two credentials of one team: two accounts with one quota."""
    return 2 if provider == GEELARK and rng.random() < 0.3 else 1


def _options(rng: Random, provider: str, number: int, config: SandboxConfig) -> dict[str, Any]:
    if provider == GEELARK:
        return (
            {"token": {"env": "GEELARK_TOKEN"}}
            if number == 1
            else {"app_id": config.geelark.app_id, "api_key": {"env": "GEELARK_KEY"}}
        )
    if provider == DOCFLOW:
        options = {"app_id": {"env": "TI_APP_ID"}, "secret_code": {"env": "TI_SECRET"}}
        how = {"auth": rng.choice(("headers", "hmac")), "archive_results": rng.random() < 0.3}
        return {**options, **how, "workspace_id": config.docflow.workspace_id}
    base = {"region": "ap-southeast-1", "project_id": config.huawei.project_id}
    if rng.random() < 0.6:
        return {**base, "access_key": {"env": "HW_AK"}, "secret_key": {"env": "HW_SK"}}
    user = {"iam_user": config.huawei.iam_user, "iam_password": {"env": "HW_PASSWORD"}}
    return {**base, **user, "iam_domain": config.huawei.iam_domain, "iam_url": URL}


def _strikes(rng: Random, provider: str, *, calm: bool, hides: bool, lag: float) -> Strikes:
    slowest = rng.choice((0.05, 0.5, 2.5))
    if calm:
        return Strikes(slowest_seconds=slowest)
    able: list[Fault] = [fault for fault in OF[provider] if hides or not fault.hides]
    slow = 0 if not hides else 1 if lag < SETTLE_SECONDS / 2 else 6
    return Strikes(rng.choice((0.1, 0.3, 0.5)), (*[SLOW] * slow, *rng.sample(able, k=rng.randint(2, 7))), slowest)


def _tasks(rng: Random, account: Account) -> list[NewTask]:
    found = []
    for serial in range(1, rng.choice((2, 2, 3, 3, 5))):
        found += _task(rng, account, serial + 1000 * int(account.name[-1]))
    return found


def _task(rng: Random, account: Account, serial: int) -> list[NewTask]:
    script = _script(rng, account.provider)
    id_ = make_id(account.provider, serial, script)
    own = rng.choice((None, None, None, 1, 3))
    if account.provider == GEELARK:
        return [NewTask(account.name, "", id_, script, origin=rng.choice(("api", "api", "client_ui")), max_retries=own)]
    if account.provider == HUAWEI_WORKSPACE:
        return [NewTask(account.name, rng.choice(("task", "record")), id_, script, max_retries=own)]
    review = [NewTask(account.name, "review_task", id_, script, max_retries=own)]
    rules = [NewTask(account.name, "review_rule", id_, script, sub_id=each) for each in rule_ids(id_)[:1]]
    return rng.choice((review, rules, [*review, *rules])) or review


def _script(rng: Random, provider: str) -> Script:
    return Script(
        first_state="canceled" if provider == GEELARK and rng.random() < 0.2 else "failed",
        succeeds_on=rng.choice((1, 2, 2, 3, 4, None)),
        refusal=rng.choice(sorted(REFUSALS[provider])) if rng.random() < 0.2 else None,
        detail=rng.choice(sorted(DETAILS[provider])) if rng.random() < 0.3 else Detail.PLAIN,
        parts=rng.randint(1, 3) if provider != GEELARK else 1,
    )
