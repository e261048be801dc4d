"""The page for people, ``GET /``: what is served, with which credentials, and what ids can say."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from redrive.models.capabilities import Capabilities
from redrive.models.providers import BUILT_IN

from .behavior import DETAILS, REFUSALS, Detail, Refusal
from .config import SandboxConfig
from .faults import FaultKind
from .script import DOCFLOW, GEELARK, HUAWEI_WORKSPACE, Script, make_id

TITLES: Mapping[str, str] = {GEELARK: "GeeLark", HUAWEI_WORKSPACE: "Huawei Cloud Workspace", DOCFLOW: "TextIn DocFlow"}

LOOPBACK = ("127.0.0.1", "localhost", "::1")

HTML = """\
The Redrive sandbox: three providers' retry APIs, as published, for trying things out.
Every answer names the page it follows in its header X-Sandbox-Doc.

SERVED
  GeeLark                  POST /open/v1/task/restart  /open/v1/task/query
  Huawei Cloud Workspace   POST /v2/{{project_id}}/script-executions/retry
                           GET  /v2/{{project_id}}/script-execution-records[/{{record_id}}]
                           POST /v3/auth/tokens
  TextIn DocFlow           POST /api/app-api/sip/platform/v2/review/task/retry  .../task/rule/retry  .../task/result

WHAT AN ID SAYS
  An id that ends in 99 and five digits carries a script; any other has failed and succeeds on its first retry.
  Of these five:
    1st  0 failed, 1 canceled
    2nd  the run that succeeds, 1 to 9; 0: none
    3rd  how a retry is refused:
{refusals}
    4th  how runs end:
{details}
    5th  records of a Huawei task (the first half fails), or rules of a review (ids: the review's and one digit)

  For example, failing twice before they succeed:
{examples}

WHAT IT SAW
  GET    /_sandbox/stats         calls, retries, faults and violations: what should never happen
  GET    /_sandbox/tasks/ID      what was asked of one task
  POST   /_sandbox/tasks/ID      {{"deleted": true}}, or {{"unreadable": true}}: shown in words that nobody documents
  POST   /_sandbox/reset         forget it all
  POST   /_sandbox/faults        {{"path": "/open/*", "fault": "status", "status": 503, "count": 3}}
  DELETE /_sandbox/faults
  Faults: {faults}

TRY IT
  In another terminal, make the secrets known:

{exports}

  Put this at the end of what `redrive init` wrote, or into a redrive.toml of its own:

{toml}
  Then: import examples/demo_tasks.csv of the repository, or what `redrive sandbox --write-tasks tasks.csv` writes:

redrive migrate && redrive import tasks.csv && redrive up
"""
"""What is to be copied stands at the end: where a terminal shows it."""


def page(config: SandboxConfig, url: str) -> str:
    """The page's text."""
    exports = "\n".join(f"export {name}={value}" for name, value in environment(config).items())
    return HTML.format(
        exports=exports,
        toml=accounts_toml(config, url),
        refusals=_table(REFUSALS),
        details=_table(DETAILS),
        examples="\n".join(f"    {TITLES[name]:23} {make_id(name, 1, Script(succeeds_on=3))}" for name in TITLES),
        faults=", ".join(FaultKind),
    )


def environment(config: SandboxConfig) -> dict[str, str]:
    """The secrets that :func:`accounts_toml` refers to."""
    return {
        BUILT_IN[provider].options[key].example: value
        for provider, given in _credentials(config).items()
        for key, value in given.items()
        if BUILT_IN[provider].options[key].secret
    }


def _credentials(config: SandboxConfig) -> dict[str, dict[str, str]]:
    """What the account of each provider needs to be let in."""
    geelark, huawei, docflow = config.geelark, config.huawei, config.docflow
    return {
        GEELARK: {"token": geelark.token},
        HUAWEI_WORKSPACE: {
            "region": BUILT_IN[HUAWEI_WORKSPACE].options["region"].example,
            "project_id": huawei.project_id,
            "access_key": huawei.access_key,
            "secret_key": huawei.secret_key,
        },
        DOCFLOW: {
            "app_id": docflow.app_id,
            "secret_code": docflow.secret_code,
            "workspace_id": docflow.workspace_id,
        },
    }


WATCHABLE: Mapping[str, float] = {
    "base_seconds": 1,
    "check_after_seconds": 1,
    "check_max_seconds": 5,
    "settle_seconds": 2,
}
"""Waits of a policy, short enough to watch."""


UNHURRIED = "calls_per_minute = 1200\ncalls_per_hour = 72000\n"
"""The pace of providers that publish none: the sandbox has no limit for them."""


def accounts_toml(config: SandboxConfig, url: str, policy: Mapping[str, float] = WATCHABLE) -> str:
    """An account of each provider, pointing at a sandbox.

    Only tables of accounts: they can stand under settings that are there already.
    """
    address = f'base_url = "{url}"' if urlsplit(url).hostname in LOOPBACK else f'base_url = "{url}"\nallow_http = true'
    waits = "\n".join(f"{key} = {seconds:g}" for key, seconds in policy.items())
    accounts = (_account(BUILT_IN[name], address, given, waits) for name, given in _credentials(config).items())
    return "\n".join(accounts)


def _account(provider: Capabilities, address: str, given: Mapping[str, str], waits: str) -> str:
    name, options = provider.account, provider.options
    keys = "\n".join(
        f'{key} = {{ env = "{options[key].example}" }}' if options[key].secret else f'{key} = "{value}"'
        for key, value in given.items()
    )
    pace = f"[accounts.{name}.limits]\n{UNHURRIED}" if provider.published_per_minute is None else ""
    head = f'[accounts.{name}]\nprovider = "{provider.provider}"\n{address}\n{keys}\n'
    return f"{head}{pace}[accounts.{name}.policy]\n{waits}\n"


def _table(rows_of: Mapping[str, Mapping[Refusal, str]] | Mapping[str, Mapping[Detail, str]]) -> str:
    """One line per digit and provider."""
    rows = sorted(
        (int(digit), TITLES[name], words) for name, words_of in rows_of.items() for digit, words in words_of.items()
    )
    return "\n".join(f"         {digit}  {title:23} {words}" for digit, title, words in rows)
