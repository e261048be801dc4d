"""Commands that change tasks: retry, hold, release, stop, revive; by ids or by filter."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from .options import DryRun, MaybeIds, Reason, Yes, takes_filter

if TYPE_CHECKING:
    from models.queries import TaskFilter

Everything = Annotated[bool, typer.Option("--all", help="All tasks the command can do something to.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Once more than the limit allows, also of dead ones; never past a provider's cap."),
]

_HELP = {
    "hold": "Keep tasks from being retried until they are released.",
    "release": "Let held tasks go on, each after a look at the provider; or withdraw a wish to hold or stop.",
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
    wanted: "TaskFilter",
    everything: Everything = False,
    force: Force = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Retry tasks now, within their limits; what is at work or followed is looked at now."""
    from .acting import Acting  # noqa: PLC0415 - heavy

    Acting("force" if force else "retry", reason, dry_run=dry_run, yes=yes).run(ids, wanted, everything=everything)


def _command(name: str) -> Callable[..., None]:
    @takes_filter
    def command(
        ids: MaybeIds = None,
        *,
        wanted: "TaskFilter",
        everything: Everything = False,
        reason: Reason = "",
        dry_run: DryRun = False,
        yes: Yes = False,
    ) -> None:
        from .acting import Acting  # noqa: PLC0415 - heavy

        Acting(name, reason, dry_run=dry_run, yes=yes).run(ids, wanted, everything=everything)

    return command
