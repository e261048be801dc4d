"""Errors as people want them: words on standard error and an exit code, never a traceback for what a user can cause."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import typer

from redrive.models.errors import BadInput, DatabaseError, SchemaError, SettingsError, Unreachable

from .console import errors
from .remedies import with_remedy

NOT_WELL = 1
"""Exit code: what was asked about is not well."""

WRONG = 2
"""Exit code: wrong usage or configuration."""

WAITS = 3
"""Exit code of ``status --check``: something waits, and only for time."""


def _print(line: str) -> None:
    errors.print(line, style="red")


@contextmanager
def in_words(say: Callable[[str], None] = _print) -> Iterator[None]:
    """Turn errors of ours, of files and of the database into words and an exit code."""
    try:
        yield
    except SettingsError as error:
        raise _end(say, error.problems, WRONG) from None
    except SchemaError as error:
        raise _end(say, [str(error)], WRONG) from None
    except BadInput as error:
        raise _end(say, [str(error)], NOT_WELL) from None
    except (DatabaseError, Unreachable) as error:
        raise _end(say, [with_remedy(str(error))], NOT_WELL) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise _end(say, [f"{where}{error.strerror or error}"], NOT_WELL) from None
    except Exception as error:
        if not _is_the_databases(error):
            raise
        raise _end(say, [f"database: {with_remedy(str(getattr(error, 'orig', error)))}"], NOT_WELL) from None


def _end(say: Callable[[str], None], lines: Sequence[str], code: int) -> typer.Exit:
    for line in lines:
        say(line)
    return typer.Exit(code)


def _is_the_databases(error: Exception) -> bool:
    """A missing grant, a full disk, a file that is not a database. A broken constraint is a defect of ours."""
    loaded = sys.modules.get("sqlalchemy.exc")
    return loaded is not None and isinstance(error, loaded.DBAPIError) and not isinstance(error, loaded.IntegrityError)
