"""Commands that change tasks: retry, hold, release, stop, revive; by ids or by filter."""

from collections.abc import Callable
from typing import Annotated

import typer

from .filters import Wanted, takes_filter
from .options import DryRun, Json, MaybeIds, Reason, Yes, flat

Everything = Annotated[bool, typer.Option("--all", help="All tasks the command can do something to.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Once more than the limit allows, also of dead ones; never past a provider's cap."),
]

_HELP = {
    "hold": "Keep tasks from being retried until they are released.",
    "release": "Let held tasks go on, each after a check of its state; or withdraw a wish to hold or stop.",
    "stop": "Give tasks up: dead (stopped), now or when the retry under way has failed.",
    "revive": "Bring dead tasks back, with as many retries again as the policy gives.",
}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(retry)
    for name, words in _HELP.items():
        app.command(name, help=words)(_command(name))


@takes_filter
def retry(
    ids: MaybeIds = None,
    *,
    wanted: Wanted,
    everything: Everything = False,
    force: Force = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Retry tasks now, within their limits; the state of what is at work or followed is checked now."""
    from .acting import Acting  # noqa: PLC0415 - heavy

    what = "force" if force else "retry"
    acting = Acting(what, reason, dry_run=dry_run, yes=yes, as_json=as_json)
    acting.run(flat(ids) if ids is not None else None, wanted, everything=everything)


def _command(name: str) -> Callable[..., None]:
    @takes_filter
    def command(
        ids: MaybeIds = None,
        *,
        wanted: Wanted,
        everything: Everything = False,
        reason: Reason = "",
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:
        from .acting import Acting  # noqa: PLC0415 - heavy

        acting = Acting(name, reason, dry_run=dry_run, yes=yes, as_json=as_json)
        acting.run(flat(ids) if ids is not None else None, wanted, everything=everything)

    return command
