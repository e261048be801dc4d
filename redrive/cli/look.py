"""Commands that only look: status, list, show, explain."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from .context import console, errors, opened, print_json
from .failures import NOT_WELL
from .options import LARGEST_ID, Ids, Json, OneId, takes_filter

if TYPE_CHECKING:
    from models.queries import TaskFilter


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command("list")(list_tasks)
    app.command()(show)
    app.command()(explain)


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks of --watch.")] = 2.0,
    as_json: Json = False,
) -> None:
    """Everything at a glance: tasks by account and status, what is due, what is in the way, what was done."""
    from models import queries  # noqa: PLC0415 - heavy
    from models.rules import rules_of  # noqa: PLC0415 - heavy

    from .status import Screen  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database):
        screen = Screen(database, watched=watch and not as_json)
        while True:
            with database.reading() as t:
                overview = queries.overview(t, rules_of(settings))
            if as_json:
                print_json(queries.plain(overview), indent=None if watch else 2)
            else:
                screen.show(overview)
            if not watch:
                return
            time.sleep(interval)


@takes_filter
def list_tasks(
    *,
    wanted: "TaskFilter",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 50,
    after: Annotated[int, typer.Option(min=0, max=LARGEST_ID, help="Only ids above this one: the next page.")] = 0,
    as_json: Json = False,
) -> None:
    """Tasks by filter, in the order of their ids. Without a filter: all of them."""
    from models import queries  # noqa: PLC0415 - heavy
    from models.rules import rules_of  # noqa: PLC0415 - heavy

    from .tasks import task_table  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        found, now = queries.find(t, wanted, after=after, limit=limit), t.now
    if as_json:
        print_json(queries.plain(found))
    elif found:
        console.print(task_table(found, rules_of(settings), now))
        if len(found) == limit:
            console.print(f"There may be more: --after {found[-1].id}", style="dim")
    else:
        console.print("No task matches.")


def show(task_id: OneId, *, as_json: Json = False) -> None:
    """One task with its attempts, what people did to it, and the results that were kept."""
    from models import queries  # noqa: PLC0415 - heavy
    from models.rules import rules_of  # noqa: PLC0415 - heavy

    from .tasks import history  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        found, now = queries.history(t, task_id), t.now
    if found is None:
        raise _no_such([task_id])
    if as_json:
        print_json(queries.plain(found))
    else:
        history(found, rules_of(settings), now)


def explain(ids: Ids, *, as_json: Json = False) -> None:
    """In words: why a task is where it is, what happens next, and when."""
    from models import queries  # noqa: PLC0415 - heavy
    from models.explain import explain as explained  # noqa: PLC0415 - heavy
    from models.rules import rules_of  # noqa: PLC0415 - heavy

    from .tasks import explanation  # noqa: PLC0415 - heavy

    with opened(required=False) as (settings, database), database.reading() as t:
        facts = {task_id: queries.facts(t, task_id, rules_of(settings)) for task_id in dict.fromkeys(ids)}
    answers = [explained(known) for known in facts.values() if known is not None]
    if as_json:
        print_json(queries.plain(answers))
    for answer in [] if as_json else answers:
        explanation(answer)
    if missing := [task_id for task_id, known in facts.items() if known is None]:
        raise _no_such(missing)


def _no_such(ids: list[int]) -> typer.Exit:
    for task_id in ids:
        errors.print(f"There is no task {task_id}.", style="red")
    return typer.Exit(NOT_WELL)
