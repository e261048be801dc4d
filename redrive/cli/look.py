"""Commands that only look: status, list, show, explain, actions."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .context import console, errors, known_rules, opened, print_json
from .failures import NOT_WELL
from .filters import Wanted, takes_filter
from .options import LARGEST_ID, Accounts, Ids, Json, OneId, Since, Until, flat, line

if TYPE_CHECKING:
    from redrive.models.queries import Overview
    from redrive.models.settings import Settings

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command("list")(list_tasks)
    for command in (show, explain, actions):
        app.command()(command)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two screens of --watch.")] = 2.0,
    check: Annotated[
        bool, typer.Option("--check", help="Only what somebody should know; the exit code says what it needs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Everything at a glance: tasks by account and status, what is due, what is in the way, what was done."""
    from redrive.models import queries  # noqa: PLC0415 - heavy

    from .status import Screen  # noqa: PLC0415 - heavy

    if watch and check:
        raise typer.BadParameter("a check is made once; leave out --watch", param_hint="--check")
    with opened(required=False) as (settings, database):
        screen = Screen(database, start=_start(settings), watched=watch and not as_json)
        while True:
            with database.reading() as t:
                overview = queries.overview(t, known_rules(settings))
            if as_json:
                print_json(_status_json(overview), indent=None if watch else 2)
            elif not check:
                screen.show(overview)
            if check:
                _check(overview, quiet=as_json)
            if not watch:
                return
            time.sleep(interval)


def _start(settings: "Settings") -> str:
    """What to do where there is nothing to show."""
    file = settings.environment.config
    if file.exists() and not settings.accounts:
        return f"{file} names no account and there is no task. Fill in an [accounts.NAME] table of it."
    if not file.exists():
        return "There is no task. Start with: redrive init"
    return "There is no task."


def _status_json(overview: "Overview") -> dict[str, Any]:
    from redrive.models import queries  # noqa: PLC0415 - heavy

    from .notices import notices  # noqa: PLC0415 - heavy

    return {**queries.plain(overview), "notices": queries.plain(list(notices(overview)))}  # type: ignore[dict-item]


def _check(overview: "Overview", *, quiet: bool) -> None:
    """Say what somebody should know, and end with what it needs."""
    from .notices import exit_code, notices  # noqa: PLC0415 - heavy
    from .status import notice_line  # noqa: PLC0415 - heavy

    found = list(notices(overview))
    if not quiet:
        for notice in found:
            console.print(notice_line(notice))
        if not found:
            console.print("All is well.")
    raise typer.Exit(exit_code(found))


@takes_filter
def list_tasks(
    *,
    wanted: Wanted,
    limit: Limit = 50,
    after: Annotated[int, typer.Option(min=0, max=LARGEST_ID, help="Only ids above this one: the next page.")] = 0,
    as_json: Json = False,
) -> None:
    """Tasks by filter, in the order of their ids. Without a filter: all of them."""
    from redrive.models import queries  # noqa: PLC0415 - heavy

    from .left_out import say_left_out  # noqa: PLC0415 - heavy
    from .tasks import set_aside_table, task_table  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        rules = known_rules(settings) or {}
        meant = wanted.found(t, rules)
        ids, now = queries.page_of_ids(t, meant, after=after, limit=limit), t.now
        aside = queries.set_aside_among(t, ids) if meant.set_aside else ()
        found = queries.by_ids(t, ids) if not aside else []
    if as_json:
        print_json(queries.plain(list(aside) or found))
    elif ids:
        console.print(set_aside_table(aside, now) if aside else task_table(found, rules, now))
        if len(ids) == limit:
            console.print(f"There may be more: --after {ids[-1]}", style="dim")
    else:
        console.print("No task matches.")
    if not aside and len(found) < len(ids):
        say_left_out(sorted({*ids} - {task.id for task in found}))
        raise typer.Exit(NOT_WELL)


def show(task_id: OneId, *, as_json: Json = False) -> None:
    """One task with its attempts, what people did to it, and the results that were kept."""
    from redrive.models import queries  # noqa: PLC0415 - heavy

    from .tasks import history  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        found, now = queries.history(t, task_id), t.now
    if found is None:
        raise _no_such([task_id])
    if as_json:
        print_json(queries.plain(found))
    else:
        history(found, known_rules(settings) or {}, now)


def explain(ids: Ids, *, as_json: Json = False) -> None:
    """In words: why a task is where it is, what happens next, and when."""
    from redrive.models import queries  # noqa: PLC0415 - heavy
    from redrive.models.explain import explain as explained  # noqa: PLC0415 - heavy

    from .tasks import explanation  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        facts = {task_id: queries.facts(t, task_id, known_rules(settings)) for task_id in flat(ids)}
    answers = [explained(known) for known in facts.values() if known is not None]
    if as_json:
        print_json(queries.plain(answers))
    for answer in [] if as_json else answers:
        explanation(answer)
    if missing := [task_id for task_id, known in facts.items() if known is None]:
        raise _no_such(missing)


def actions(
    *,
    who: Annotated[str, typer.Option(metavar="NAME", parser=line, help="Who did it: a part of the name.")] = "",
    what: Annotated[
        list[str] | None, typer.Option(metavar="WORD", parser=line, help="What was done, such as hold or resume.")
    ] = None,
    account: Accounts = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Annotated[
        int | None, typer.Option(min=1, max=LARGEST_ID, help="Only ids below this one: the next page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """What people, and Redrive itself, did to tasks and accounts: the newest first."""
    from redrive.models import queries  # noqa: PLC0415 - heavy

    from .tasks import actions_table  # noqa: PLC0415 - heavy

    wanted = queries.ActionFilter(
        who=who, what=tuple(what or ()), accounts=tuple(account or ()), since=since, until=until, before=before
    )
    with opened(required=False) as (settings, database), database.reading() as t:
        queries.check_accounts(t, wanted.accounts, known_rules(settings) or {})
        found, now = queries.done(t, wanted, limit=limit), t.now
    if as_json:
        print_json(queries.plain(found))
    elif found:
        console.print(actions_table(found, now))
        if len(found) == limit:
            console.print(f"There may be more: --before {found[-1].id}", style="dim")
    else:
        console.print("No action matches.")


def _no_such(ids: list[int]) -> typer.Exit:
    for task_id in ids:
        errors.print(f"There is no task {task_id}.", style="red")
    return typer.Exit(NOT_WELL)
