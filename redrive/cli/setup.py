"""Commands that prepare and tidy up: init, migrate, doctor, prune."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ..terminal import safe
from .context import console, database_url, driver_installed, errors, load_settings, opened, print_json
from .failures import NOT_WELL
from .options import Accounts, Age, DryRun, Json, Yes


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (init, doctor, migrate, prune):
        app.command()(command)


def init(
    *,
    provider: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Whose account is not commented out; may be repeated.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")] = False,
) -> None:
    """Write a commented `redrive.toml`, or the file that REDRIVE_CONFIG names."""
    from ..template import render  # noqa: PLC0415 - heavy

    text, path = render(provider), Path(os.environ.get("REDRIVE_CONFIG") or "redrive.toml")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        errors.print(f"{path} is there already: change it, or overwrite it with --force.", style="red")
        raise typer.Exit(NOT_WELL) from None
    console.print(f"Wrote {path}. Next: fill in the accounts; then `redrive migrate`, `redrive doctor`, `redrive up`.")


def migrate() -> None:
    """Bring the database's schema up to this version."""
    from redrive.models.explain.words import many  # noqa: PLC0415 - heavy
    from redrive.models.settings import hide_password  # noqa: PLC0415 - heavy
    from redrive.models.sql.migrate import upgraded  # noqa: PLC0415 - heavy

    from ..home import make_home  # noqa: PLC0415 - heavy

    settings = load_settings(required=False)
    if settings.environment.database_url is None:
        make_home(settings.environment.home)
    url = database_url(settings)
    with driver_installed():
        done = upgraded(url)
    before, after = done.before, done.after
    words = f"is at schema {after} already" if before == after else f"went from schema {before or 'none'} to {after}"
    console.print(f"{hide_password(url)} {words}.")
    for rule, count in done.set_aside.items():
        words = f"{rule} refuses {many(count, 'task')}, now set aside: fix them, nothing else touches them meanwhile"
        errors.print(f"warning: {words}. `redrive status` counts them.", style="yellow", soft_wrap=True)


def doctor(*, as_json: Json = False) -> None:
    """Check settings, credentials, database and broker, and that they agree. Changes nothing."""
    from redrive.models.queries import plain  # noqa: PLC0415 - heavy

    from .doctor import examine  # noqa: PLC0415 - heavy

    findings, code = [], 0
    for finding in examine():
        findings.append(finding)
        code = max(code, finding.exit_code)
        if not as_json:
            console.print(safe(f"{finding.level:8}{finding.key}: {finding.text}"), style=finding.level.style)
    if as_json:
        print_json(plain(findings))
    if code:
        raise typer.Exit(code)


def prune(
    *,
    account: Accounts = None,
    older_than: Age = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete what ended longer ago than the settings keep it. Schedulers do so by themselves."""
    from redrive.models import queries  # noqa: PLC0415 - heavy

    from .pruning import Pruning  # noqa: PLC0415 - heavy

    with opened() as (settings, database):
        with database.reading() as t:
            queries.check_accounts(t, account or (), settings.accounts)
        Pruning(settings, database, account or (), older_than).run(dry_run=dry_run, yes=yes, as_json=as_json)
