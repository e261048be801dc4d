"""The commands that show tasks and what was done to them: list, show, explain, actions."""

from typing import Annotated

import typer

from redrive.models import queries
from redrive.models.explain import explain as explained

from .context import console, errors, known_rules, opened, print_json
from .failures import NOT_WELL
from .filters import Wanted, takes_filter
from .left_out import say_left_out
from .options import LARGEST_ID, Accounts, Ids, Json, OneId, Since, Until, flat, line
from .task_tables import actions_table, explanation, history, set_aside_table, task_table

Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]


@takes_filter
def list_tasks(
    *,
    wanted: Wanted,
    limit: Limit = 50,
    after: Annotated[int, typer.Option(min=0, max=LARGEST_ID, help="Only ids above this one: the next page.")] = 0,
    as_json: Json = False,
) -> None:
    """Tasks by filter, in the order of their ids. Without a filter: all of them."""
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
