"""Commands about accounts: accounts, pause, resume."""

from collections.abc import Iterator
from typing import Annotated

import typer

from redrive.models import ledger, queries
from redrive.models.queries import AccountOverview, Overview, plain
from redrive.models.settings import Settings
from redrive.models.sql.db import Transaction

from .account_table import account_rows, account_table
from .context import console, known_rules, opened, print_json, wake_schedulers, who
from .notices import notices
from .options import Json, Reason, line

Name = Annotated[str, typer.Argument(metavar="ACCOUNT", parser=line, help="Its name in redrive.toml.")]


def accounts(*, as_json: Json = False) -> None:
    """The accounts: provider, pace and whether each is at work."""
    with opened(required=False) as (settings, database), database.reading() as t:
        rows, now = account_rows(settings, queries.overview(t, known_rules(settings))), t.now
    if as_json:
        print_json(plain(rows))
    elif rows:
        console.print(account_table(rows, now))
    else:
        console.print("No account is known here. Name one in an [accounts.NAME] table of redrive.toml: redrive init")


def pause(account: Name, *, reason: Reason = "", as_json: Json = False) -> None:
    """Leave an account alone: nothing of it is claimed, and workers give back what they have not sent."""
    with opened(required=False) as (settings, database):
        with database.transaction() as t:
            _ensure(t, settings, account)
            ledger.pause(t, account, ledger.Who(who(), reason))
        if as_json:
            print_json({"account": account, "action": "pause"})
        else:
            console.print(f"{account} is paused. `redrive resume {account}` ends it.")


def resume(
    account: Name,
    *,
    try_one: Annotated[
        bool, typer.Option("--try-one", help="Let one task through first; its answer decides about the others.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="End waits that the provider asked for, too: it may lock the account.")
    ] = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Let an account go on: ends a pause of any cause and closes its breakers."""
    with opened(required=False) as (settings, database):
        rules = known_rules(settings)
        with database.transaction() as t:
            _ensure(t, settings, account)
            before = queries.in_the_way(t, rules, [account])
            ledger.resume(t, account, ledger.Who(who(), reason), one=try_one, force=force)
            after = queries.in_the_way(t, rules, [account])
        wake_schedulers(settings)
        if as_json:
            what = {"account": account, "action": "try one" if try_one else "resume"}
            print_json({**what, "before": plain(before), "after": plain(after)})
            return
        for words in _resumed(before, after, try_one=try_one):
            console.print(words)


def _resumed(before: Overview, after: Overview, *, try_one: bool) -> Iterator[str]:
    """What was ended, and what still holds."""
    state = before.accounts[0]
    if try_one:
        yield f"One task of {state.account} tries; the others follow when that gets a usable answer."
    elif state.paused is not None:
        yield f"{state.account} is at work again."
    else:
        yield f"{state.account} was not paused."
    if not try_one:
        yield from (f"Its breaker for {_plural(each)} is closed." for each in _operations(state))
    ended = len(before.penalties) - len(after.penalties)
    if ended:
        yield "The wait that the provider asked for is ended."
    for notice in notices(after):
        if not (try_one and notice.about == f"accounts.{state.account}"):  # its breakers: just what was asked for
            yield f"{notice.about.removeprefix('accounts.')}: {notice.words}"


def _operations(state: AccountOverview) -> list[str]:
    return [breaker.operation for breaker in state.breakers]


def _plural(operation: str) -> str:
    return "retries" if operation == "retry" else "checks"


def _ensure(t: Transaction, settings: Settings, account: str) -> None:
    """An account can be paused before anything has run.

    Raises:
        BadInput: it is not known.
    """
    if account in settings.accounts:
        ledger.ensure(t, {account: settings.accounts[account].provider})
    else:
        queries.check_accounts(t, [account], dict.fromkeys(settings.accounts))
