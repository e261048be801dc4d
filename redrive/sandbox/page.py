"""The page for people, ``GET /``: what is served, with which credentials, and what ids can say."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from .behavior import DETAILS, REFUSALS, Detail, Refusal
from .config import SandboxConfig
from .faults import FaultKind
from .script import DOCFLOW, GEELARK, HUAWEI, Script, make_id

TITLES: Mapping[str, str] = {GEELARK: "GeeLark", HUAWEI: "Huawei Cloud Workspace", DOCFLOW: "TextIn DocFlow"}

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
        "GEELARK_TOKEN": config.geelark.token,
        "HW_AK": config.huawei.access_key,
        "HW_SK": config.huawei.secret_key,
        "TI_APP_ID": config.docflow.app_id,
        "TI_SECRET": config.docflow.secret_code,
    }


WATCHABLE: Mapping[str, float] = {
    "base_seconds": 1,
    "check_after_seconds": 1,
    "check_max_seconds": 5,
    "settle_seconds": 2,
}
"""Waits of a policy, short enough to watch."""


def accounts_toml(config: SandboxConfig, url: str, policy: Mapping[str, float] = WATCHABLE) -> str:
    """The accounts phones, desktops and reviews, pointing at a sandbox.

    Only tables of accounts: they can stand under settings that are there already.
    """
    address = f'base_url = "{url}"' if urlsplit(url).hostname in LOOPBACK else f'base_url = "{url}"\nallow_http = true'
    waits = "\n".join(f"{key} = {seconds:g}" for key, seconds in policy.items())
    return f"""\
[accounts.phones]
provider = "geelark"
{address}
token = {{ env = "GEELARK_TOKEN" }}
[accounts.phones.policy]
{waits}

[accounts.desktops]
provider = "huawei_workspace"
{address}
region = "ap-southeast-1"
project_id = "{config.huawei.project_id}"
access_key = {{ env = "HW_AK" }}
secret_key = {{ env = "HW_SK" }}
[accounts.desktops.limits]
calls_per_minute = 1200
calls_per_hour = 72000
[accounts.desktops.policy]
{waits}

[accounts.reviews]
provider = "docflow"
{address}
app_id = {{ env = "TI_APP_ID" }}
secret_code = {{ env = "TI_SECRET" }}
workspace_id = "{config.docflow.workspace_id}"
[accounts.reviews.limits]
calls_per_minute = 1200
calls_per_hour = 72000
[accounts.reviews.policy]
{waits}
"""


def _table(rows_of: Mapping[str, Mapping[Refusal, str]] | Mapping[str, Mapping[Detail, str]]) -> str:
    """One line per digit and provider."""
    rows = sorted(
        (int(digit), TITLES[name], words) for name, words_of in rows_of.items() for digit, words in words_of.items()
    )
    return "\n".join(f"         {digit}  {title:23} {words}" for digit, title, words in rows)
