"""``redrive import`` and ``redrive export``."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Literal

import typer

from .context import console, errors, load_settings, open_database, opened, print_json, wake_schedulers
from .failures import NOT_WELL, WRONG
from .options import Accounts, DryRun, Json, Statuses

if TYPE_CHECKING:
    from models.db import Database
    from models.settings import Settings

    from ..transfer.importing import Tally

STANDARD = Path("-")
MOST_SAID = 100
"""Refused lines that are said one by one; a file of the wrong kind has millions."""

ErrorsTo = Annotated[
    Path | None, typer.Option("--errors", metavar="FILE", help="Write every refused line here, however many.")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write here; - is standard output.")]
Format = Annotated[
    Literal["csv", "jsonl"] | None,
    typer.Option("--format", help="Otherwise what the file's name says, otherwise CSV.", show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("import")(import_)
    app.command()(export)


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV with a header, or JSON lines; - is standard input.")
    ],
    *,
    dry_run: DryRun = False,
    json: Json = False,
    errors_to: ErrorsTo = None,
) -> None:
    """Add the tasks of a file: CSV with a header, or JSON lines.

    A line that cannot be taken is said on standard error as `line N: why` (the header is line 1) and the exit code
    is 1; all others are in. Importing a file again adds nothing twice.
    """
    from models.errors import SettingsError  # noqa: PLC0415 - heavy, as all below

    settings = load_settings()
    if not settings.accounts:
        raise SettingsError("accounts: none is configured, so no task can be added; redrive init shows how")
    with ExitStack() as stack:
        stream = stack.enter_context(_source(file))
        refusals = Refusals(stack.enter_context(errors_to.open("w", encoding="utf-8")) if errors_to else None)
        database = None if dry_run else stack.enter_context(closing(open_database(settings)))
        tally = _import(stream, file.name, settings, database, refusals)
    refusals.end()
    if json:
        print_json({**asdict(tally), "dry_run": dry_run})
    else:
        console.print(_summary(tally, dry_run=dry_run))
    if tally.refused:
        raise typer.Exit(NOT_WELL)


class Refusals:
    """Says refused lines: the first on standard error, all of them in a file where one is wanted."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        self._count = 0

    def __call__(self, words: str) -> None:
        """Say one."""
        self._count += 1
        if self._count <= MOST_SAID:
            errors.print(words, soft_wrap=True)
        if self._file is not None:
            self._file.write(words + "\n")

    def end(self) -> None:
        """Say how many were left unsaid."""
        if self._count > MOST_SAID:
            hint = "" if self._file is not None else "; --errors FILE writes all"
            errors.print(f"… and {self._count - MOST_SAID:,} more refused lines{hint}")


def _import(
    stream: IO[bytes], name: str, settings: "Settings", database: "Database | None", refuse: Refusals
) -> "Tally":
    from models.rules import rules_of  # noqa: PLC0415

    from ..transfer.importing import Tally, import_rows  # noqa: PLC0415
    from ..transfer.lines import UnusableFile, text_of  # noqa: PLC0415
    from ..transfer.reading import read_rows  # noqa: PLC0415

    tally, rules = Tally(), rules_of(settings)
    if database is not None:
        _ensure(database, settings)
    try:
        with text_of(stream) as text, _progress(stream) as moved:
            for tally in import_rows(read_rows(text, name), rules, database, refuse):  # noqa: B007 - the last counts
                moved()
    except UnusableFile as error:
        errors.print(f"{name}: {error}", style="red", soft_wrap=True)
        raise typer.Exit(WRONG) from None
    finally:
        if tally.added or tally.known:
            wake_schedulers(settings)
    return tally


def _ensure(database: "Database", settings: "Settings") -> None:
    from models import ledger  # noqa: PLC0415

    with database.transaction() as t:
        ledger.ensure(t, {name: account.provider for name, account in settings.accounts.items()})


def _summary(tally: "Tally", *, dry_run: bool) -> str:
    if dry_run:
        return f"good {tally.good}, refused {tally.refused}; nothing was added"
    return f"added {tally.added}, known {tally.known}, refused {tally.refused}"


@contextmanager
def _source(path: Path) -> Iterator[IO[bytes]]:
    if path == STANDARD:
        yield sys.stdin.buffer
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        errors.print(f"{path}: {error.strerror}", style="red")
        raise typer.Exit(WRONG) from None
    with stream:
        yield stream


@contextmanager
def _progress(stream: IO[bytes]) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's standard error; yields what moves it to where the stream has been read."""
    from rich.progress import Progress  # noqa: PLC0415

    about = os.fstat(stream.fileno()) if errors.is_terminal else None
    if about is None or not stat.S_ISREG(about.st_mode):
        yield lambda: None
        return
    with Progress(console=errors, transient=True) as progress:
        bar = progress.add_task("importing", total=about.st_size)
        yield lambda: progress.update(bar, completed=stream.tell())


def export(
    *,
    account: Accounts = None,
    status: Statuses = None,
    form: Format = None,
    output: Output = STANDARD,
) -> None:
    """Write all tasks, or those of some accounts and statuses, as CSV or JSON lines that can be imported again."""
    from ..transfer.exporting import WRITERS, walk  # noqa: PLC0415
    from ..transfer.reading import JSON_SUFFIXES  # noqa: PLC0415

    form = form or ("jsonl" if output.suffix.lower() in JSON_SUFFIXES else "csv")
    with opened(required=False) as (_, database), _destination(output) as file:
        WRITERS[form](file, walk(database, account=account or (), status=status or ()))


@contextmanager
def _destination(path: Path) -> Iterator[IO[str]]:
    """Where an export goes. A file is there when it is whole, and until then as it was."""
    if path == STANDARD:
        file = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
        try:
            yield file
        finally:
            file.detach()  # without it the end of this wrapper would close standard output
        return
    whole = path.resolve()
    part = whole.with_name(whole.name + ".part") if whole.is_file() or not whole.exists() else whole
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        if part != whole:
            part.replace(whole)
    except BaseException:
        if part != whole:
            with suppress(OSError):
                part.unlink()
        raise
