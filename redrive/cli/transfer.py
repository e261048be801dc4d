"""``redrive import`` and ``redrive export``."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from io import TextIOBase, TextIOWrapper, UnsupportedOperation
from pathlib import Path
from typing import IO, Annotated, Literal, cast

import typer
from rich.progress import Progress

from redrive.models import ledger, queries
from redrive.models.errors import SettingsError
from redrive.models.rules import rules_of
from redrive.models.settings import Settings
from redrive.models.sql.db import Database

from ..terminal import safe
from ..transfer.exporting import WRITERS, walk
from ..transfer.files import await_bytes, destination, refused_rows, source
from ..transfer.importing import Tally, import_rows
from ..transfer.lines import UnusableFile
from ..transfer.opening import text_of
from ..transfer.reading import JSON_SUFFIXES, read_rows
from ..transfer.rows import Row
from .context import console, errors, load_settings, open_database, opened, print_json, wake_schedulers
from .failures import NOT_WELL, WRONG
from .left_out import say_left_out
from .options import Accounts, DryRun, Json, Statuses

STANDARD = Path("-")
MOST_SAID = 100
"""Refused lines that are printed one by one; a file of the wrong kind has millions."""

ErrorsTo = Annotated[
    Path | None,
    typer.Option(
        "--errors", metavar="FILE", help="Write every refused row here, with the reason; repaired, it can be imported."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write here; - is standard output.")]
Safe = Annotated[
    bool,
    typer.Option("--safe-for-spreadsheets", help="Put ' before cells that a spreadsheet would run; import removes it."),
]
Format = Annotated[
    Literal["csv", "jsonl"] | None,
    typer.Option("--format", help="Otherwise what the file's name says, otherwise CSV.", show_default=False),
]


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV with a header, or JSON; may be gzipped; - is standard input.")
    ],
    *,
    dry_run: DryRun = False,
    json: Json = False,
    errors_to: ErrorsTo = None,
) -> None:
    """Add the tasks of a file: CSV with a header, or JSON.

    A line that cannot be taken is printed to standard error as `line N: why` (the header is line 1) and the exit code
    is 1; all others are in. Importing a file again adds nothing twice.
    """
    settings = load_settings()
    if not settings.accounts:
        raise SettingsError("accounts: none is configured, so no task can be added; redrive init shows how")
    with ExitStack() as stack:
        stream = stack.enter_context(_source(file))
        refusals = Refusals(stack.enter_context(refused_rows(errors_to, file)) if errors_to else None)
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
    """Says refused rows: the first on standard error, all of them in a file where one is wanted."""

    def __init__(self, file: IO[str] | None) -> None:
        self._file = file
        self._count = 0

    def __call__(self, row: Row, words: str) -> None:
        """Say one."""
        self._count += 1
        if self._count <= MOST_SAID:
            errors.print(words, soft_wrap=True)
        if self._file is not None:
            self._file.write((row.form.head() if self._count == 1 else "") + row.form.refused(row, words))

    def end(self) -> None:
        """Say how many were left unsaid."""
        if self._count > MOST_SAID:
            hint = "" if self._file is not None else "; --errors FILE writes all"
            errors.print(f"… and {self._count - MOST_SAID:,} more refused lines{hint}")


def _import(stream: IO[bytes], name: str, settings: Settings, database: Database | None, refuse: Refusals) -> Tally:
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


def _ensure(database: Database, settings: Settings) -> None:
    with database.transaction() as t:
        ledger.ensure(t, {name: account.provider for name, account in settings.accounts.items()})


def _summary(tally: Tally, *, dry_run: bool) -> str:
    if dry_run:
        return f"good {tally.good}, refused {tally.refused}; nothing was added"
    return f"added {tally.added}, known {tally.known}, refused {tally.refused}"


@contextmanager
def _source(path: Path) -> Iterator[IO[bytes]]:
    if path == STANDARD:
        _refuse_closed(sys.stdin, "standard input")
        with suppress(UnsupportedOperation):  # of a stream that is not a file
            await_bytes(sys.stdin.buffer.fileno(), "standard input", _say)
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(source(path, _say))
        except OSError as error:
            errors.print(f"{path}: {error.strerror}", style="red", soft_wrap=True)
            raise typer.Exit(WRONG) from None
        yield stream


def _refuse_closed(stream: IO[str] | None, name: str) -> None:
    """Python has None where a shell closed one of the three streams."""
    if stream is None:
        errors.print(f"{name}: is closed; name a file", style="red")
        raise typer.Exit(WRONG)


def _say(words: str) -> None:
    errors.print(words, soft_wrap=True)


@contextmanager
def _progress(stream: IO[bytes]) -> Iterator[Callable[[], None]]:
    """A bar on a terminal's standard error; yields what moves it to where the stream has been read."""
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
    safe: Safe = False,
    output: Output = STANDARD,
) -> None:
    """Write all tasks, or those of some accounts and statuses, as CSV or JSON lines that can be imported again.

    A provider's words may begin like a formula, which a spreadsheet runs when it opens the file: for people with
    spreadsheets use `--safe-for-spreadsheets`.
    """
    form = form or ("jsonl" if output.suffix.lower() in JSON_SUFFIXES else "csv")
    if safe and form != "csv":
        raise typer.BadParameter("is for CSV; a spreadsheet opens no JSON lines", param_hint="--safe-for-spreadsheets")
    write = WRITERS["safe-csv" if safe else form]
    with opened(required=False) as (settings, database):
        with database.reading() as t:
            queries.check_accounts(t, account or (), settings.accounts)
        left_out: list[int] = []
        with destination(output) if output != STANDARD else _standard() as file:
            write(file, walk(database, left_out.append, account=account or (), status=status or ()))
    if left_out:
        say_left_out(left_out)
        raise typer.Exit(NOT_WELL)


class _Shown(TextIOBase):
    """It is a screen: what steers a terminal is shown and does not steer. Files and pipes get every character."""

    def write(self, text: str) -> int:
        """Write."""
        return sys.stdout.write("\n".join(map(safe, text.split("\n"))))


@contextmanager
def _standard() -> Iterator[IO[str]]:
    _refuse_closed(sys.stdout, "standard output")
    if sys.stdout.isatty():
        yield cast("IO[str]", _Shown())
        return
    file = TextIOWrapper(sys.stdout.buffer, encoding="utf-8", newline="")
    try:
        yield file
    finally:
        file.detach()  # without it the end of this wrapper would close standard output
