"""The commands that run something: everything on this machine, or one part of it."""

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .context import broker_url, console, database_url, driver_installed, load_settings
from .failures import in_words
from .streams import unread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redrive.models.settings import Settings

# Heavy modules are imported inside the commands: `redrive --help` must not wait for them.

SANDBOX_PORT = 8321
PerMinute = Annotated[int, typer.Option(min=0, help="Calls per API path; 0: no limit.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, demo, scheduler, worker, flower, sandbox):
        app.command()(command)


def up(
    *,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Do without Flower.")] = False,
) -> None:
    """Run scheduler, worker and Flower until Ctrl-C, with a broker and a database of its own where none is set.

    Says what is due where before the first call. A part that dies is started again. Ctrl-C lets calls that are under
    way finish; a second one does not.
    """
    from ..home import make_home  # noqa: PLC0415 - heavy
    from ..up import run  # noqa: PLC0415 - heavy

    settings = load_settings()
    make_home(settings.environment.home)
    with driver_installed(), unread():
        code = run(settings, database_url=database_url(settings), with_flower=not no_flower)
    raise typer.Exit(code)


def demo(
    *,
    tasks: Annotated[int, typer.Option(min=1, max=3000, help="Tasks at each of the three providers.")] = 220,
    home: Annotated[Path | None, typer.Option(help="An empty directory for its files, which stay.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary directory.")] = False,
    flower: Annotated[bool, typer.Option("--flower", help="Run Flower, too.")] = False,
    timeout_seconds: Annotated[float, typer.Option(min=1, help="How long the retrying may take.")] = 300,
) -> None:
    """See the whole system retry simulated failures on this machine; ends with 0 when all ended as they should.

    A real scheduler, worker, broker and database against the sandbox, in a temporary directory. With
    REDRIVE_DATABASE_URL set it works in that database, which must hold no tasks.
    """
    from ..demo.run import Wanted, run  # noqa: PLC0415 - heavy

    wanted = Wanted(tasks=tasks, home=home, keep=keep, flower=flower, timeout_seconds=timeout_seconds)
    with driver_installed():
        code = run(wanted, console)
    raise typer.Exit(code)


def scheduler(
    *,
    once: Annotated[bool, typer.Option("--once", help="One pass, and done.")] = False,
) -> None:
    """Run a scheduler: it decides what is due and hands it to the workers. Any number may run."""
    from redrive.scheduler.service import run  # noqa: PLC0415 - heavy

    with _logged() as settings:
        broker = _broker_url(settings)
        with driver_installed():
            code = run(settings, database_url=database_url(settings), broker_url=broker, once=once)
        raise typer.Exit(code)


def worker(
    *,
    provider: Annotated[list[str] | None, typer.Option(help="Take only this provider's queue; repeatable.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run none: ask whether this machine's workers take batches.")
    ] = False,
) -> None:
    """Run a worker: it calls the providers. SIGTERM lets it finish what is open and give back the rest."""
    if check:
        _check_workers()
        return
    from redrive.worker.main import run  # noqa: PLC0415 - heavy

    with _logged() as settings:
        broker = _broker_url(settings)
        _silence_celery()
        with driver_installed():
            code = run(settings, database_url=database_url(settings), broker_url=broker, providers=provider or ())
        raise typer.Exit(code)


@contextmanager
def _logged() -> "Iterator[Settings]":
    """The settings of a process with a log: warnings and errors are lines of it, in the form of all others."""
    import structlog  # noqa: PLC0415 - heavy

    from ..logs import configure  # noqa: PLC0415 - heavy

    configure()
    log = structlog.get_logger("redrive")
    with in_words(lambda line: log.error("failed", error=line)):
        yield load_settings(warn=lambda words: log.warning("settings", warning=words))


def _silence_celery() -> None:
    """Keep what Celery prints at a signal from standing between the lines of the log."""
    from celery.apps import worker as celerys  # noqa: PLC0415 - heavy

    celerys.safe_say = lambda *_: None


def _check_workers() -> None:
    """For health checks: ends with 1 and says so when a worker of this machine takes no batches."""
    from redrive.worker.health import problems  # noqa: PLC0415 - heavy

    from .context import errors  # noqa: PLC0415 - beside the other

    settings = load_settings()
    queues = settings.queues.taken(account.provider for account in settings.accounts.values())
    if found := problems(_broker_url(settings), queues[:-1]):
        for words in found:
            errors.print(words, style="red", soft_wrap=True)
        raise typer.Exit(1)
    console.print("The workers of this machine take batches.")


def flower() -> None:
    """Run Flower, which shows batches and workers in a browser, on the address that redrive.toml names."""
    from ..flower import run  # noqa: PLC0415 - heavy

    settings = load_settings(required=False)
    raise typer.Exit(run(settings, broker_url=_broker_url(settings)))


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = SANDBOX_PORT,
    port_file: Annotated[Path | None, typer.Option(help="Written with the port once it takes calls.")] = None,
    write_tasks: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tasks of its three accounts here, for redrive import.")
    ] = None,
    run_seconds: Annotated[float, typer.Option(min=0, help="How long a re-run takes.")] = 1.0,
    settle_lag_seconds: Annotated[float, typer.Option(min=0, help="How long checks still show the old end.")] = 0.0,
    latency_seconds: Annotated[float, typer.Option(min=0, help="Between applying a call and answering it.")] = 0.0,
    geelark_per_minute: PerMinute = 200,
    geelark_per_hour: Annotated[int, typer.Option(min=0, help="The same for an hour.")] = 24_000,
    huawei_per_minute: PerMinute = 0,
    docflow_per_minute: PerMinute = 0,
    huawei_same_ids: Annotated[
        bool, typer.Option("--huawei-same-ids", help="A Huawei retry answers the task id it was given.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the dice that faults are thrown with.")] = 0,
) -> None:
    """Run the three providers, simulated, for trying out; prints the accounts to paste into redrive.toml."""
    from ..sandbox.config import SandboxConfig  # noqa: PLC0415 - heavy
    from ..sandbox.page import page  # noqa: PLC0415 - heavy
    from ..sandbox.server import run  # noqa: PLC0415 - heavy

    config = SandboxConfig(
        run_seconds=run_seconds,
        settle_lag_seconds=settle_lag_seconds,
        latency_seconds=latency_seconds,
        geelark_per_minute=geelark_per_minute or None,
        geelark_per_hour=geelark_per_hour or None,
        huawei_per_minute=huawei_per_minute or None,
        docflow_per_minute=docflow_per_minute or None,
        huawei_new_ids=not huawei_same_ids,
        seed=seed,
    )
    if write_tasks is not None:
        _write_samples(write_tasks)
    run(config, host, port, port_file=port_file, announce=lambda url: typer.echo(f"{page(config, url)}\nIt is {url}/"))


def _write_samples(path: Path) -> None:
    from ..sandbox.samples import sample_rows, write_csv  # noqa: PLC0415 - heavy

    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            write_csv(sample_rows(), file)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--write-tasks") from None


def _broker_url(settings: "Settings") -> str:
    """The broker's address.

    Raises:
        SettingsError: there is none.
    """
    from redrive.models.errors import SettingsError  # noqa: PLC0415 - heavy

    if (url := broker_url(settings)) is None:
        raise SettingsError("REDRIVE_BROKER_URL: is not set; set it, or start `redrive up`, which runs a broker")
    return url
