"""Commands about accounts: accounts, pause, resume."""

from typing import TYPE_CHECKING, Annotated

import typer

from .context import console, opened, print_json, wake_schedulers, who
from .options import Json, Reason

if TYPE_CHECKING:
    from models.db import Transaction
    from models.settings import Settings

Name = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its name in redrive.toml.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (accounts, pause, resume):
        app.command()(command)


def accounts(*, as_json: Json = False) -> None:
    """The accounts: provider, pace and whether each is at work."""
    from models import queries  # noqa: PLC0415 - heavy
    from models.rules import rules_of  # noqa: PLC0415 - heavy

    from .account_table import account_rows, account_table  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        rows, now = account_rows(settings, queries.overview(t, rules_of(settings))), t.now
    if as_json:
        print_json(queries.plain(rows))
    elif rows:
        console.print(account_table(rows, now))
    else:
        console.print("No account is configured. Start with: redrive init")


def pause(account: Name, *, reason: Reason = "") -> None:
    """Leave an account alone: nothing of it is claimed, and workers give back what they have not sent."""
    from models import ledger  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database):
        with database.transaction() as t:
            _ensure(t, settings, account)
            ledger.pause(t, account, ledger.Who(who(), reason))
        console.print(f"{account} is paused. `redrive resume {account}` ends it.")


def resume(account: Name, *, reason: Reason = "") -> None:
    """End a pause, whoever or whatever caused it."""
    from models import ledger  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database):
        with database.transaction() as t:
            _ensure(t, settings, account)
            was_paused = ledger.resume(t, account, ledger.Who(who(), reason))
        wake_schedulers(settings)
        console.print(f"{account} is at work again." if was_paused else f"{account} was not paused.")


def _ensure(t: "Transaction", settings: "Settings", account: str) -> None:
    """An account can be paused before anything has run."""
    from models import ledger  # noqa: PLC0415 - heavy

    if account in settings.accounts:
        ledger.ensure(t, {account: settings.accounts[account].provider})
