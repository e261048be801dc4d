"""What a row of ``redrive_tasks`` must be like so that this program can read it, from whatever hand.

A host's own ``INSERT`` is part of the public surface, so the schema refuses what the code cannot read or should not
hold: moments that are not dates, JSON that is not an object or is too large, numbers that are text or out of range. On
PostgreSQL each rule is a CHECK of that name, on SQLite a line of a trigger: rebuilding a table there would cascade to
its attempts.

Migration 0002 and :mod:`redrive.models.sql.tables` both read this file, so it never changes: other
rules come with a file and a migration of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

MOMENTS = ("due_at", "failed_at", "status_since", "round_at", "created_at", "updated_at")
COUNTERS = ("attempts", "spent", "errors", "refusals", "granted")
TEXTS = ("account", "kind", "external_id", "sub_id", "origin", "provider_ref")

MOST = 1_000_000
"""The end of every counter; ``attempts`` is the key of the attempts, so a task that comes there is set aside."""
MOST_RETRIES = 1000
LONGEST_TEXT = 10_000
LARGEST_JSON = 131_072
LARGEST_SEEN = 4096
DEEPEST_JSON = 100
HIGHEST_ID = 2**62
"""Above it a database runs out of ids one day: SQLite's next one is always higher than all before."""

_FIRST, _LAST = "0001-01-02 00:00:00", "9999-12-30 00:00:00"
_DIGITS = "[0-9]" * 2
_FORM = f"{_DIGITS * 2}-{_DIGITS}-{_DIGITS} {_DIGITS}:{_DIGITS}:{_DIGITS}.{_DIGITS * 3}"


@dataclass(frozen=True, slots=True)
class RowRule:
    """A rule by its constraint's name, in each database's words.

    Attributes:
        sqlite: of the row ``NEW``.
    """

    name: str
    postgresql: str
    sqlite: str


def _moment(column: str) -> RowRule:
    new = f"NEW.{column}"
    second = f"substr({new}, 1, 19)"
    return RowRule(
        f"redrive_tasks_{column}_sane_check",
        f"{column} BETWEEN timestamptz '{_FIRST}+00' AND timestamptz '{_LAST}+00'",
        f"{new} IS NULL OR (typeof({new}) = 'text' AND {new} GLOB '{_FORM}' AND {new} BETWEEN '{_FIRST}' AND '{_LAST}'"
        # Without a modifier SQLite hands back the thirtieth of February as it came.
        f" AND strftime('%Y-%m-%d %H:%M:%S', {second}, '+0 days') IS {second})",
    )


def _json(column: str, largest: int, more: str = "") -> RowRule:
    new = f"NEW.{column}"
    return RowRule(
        f"redrive_tasks_{column}_sane_check",
        f"{column} = '{{}}' OR (jsonb_typeof({column}) = 'object' AND octet_length({column}::text) <= {largest}{more})",
        f"{new} IS NULL OR CASE WHEN typeof({new}) = 'text' AND length({new}) <= {largest} AND json_valid({new})"
        f" THEN json_type({new}) = 'object' ELSE 0 END",
    )


def _most(name: str, columns: Sequence[str], most: int) -> RowRule:
    """Older checks say what the least is."""
    return RowRule(
        f"redrive_tasks_{name}_sane_check",
        " AND ".join(f"{column} <= {most}" for column in columns),
        " AND ".join(
            f"(NEW.{column} IS NULL OR (typeof(NEW.{column}) = 'integer' AND NEW.{column} <= {most}))"
            for column in columns
        ),
    )


RULES: Sequence[RowRule] = (
    *map(_moment, MOMENTS),
    # Python stops reading a number of more than 4,300 digits, and JSON some hundred levels deep.
    _json(
        "params",
        LARGEST_JSON,
        f" AND NOT jsonb_path_exists(params, '$.**{{{DEEPEST_JSON}}}') AND params::text !~ '([0-9]{{250}}){{4}}'",
    ),
    _json("seen", LARGEST_SEEN),
    _most("counters", COUNTERS, MOST),
    _most("max_retries", ["max_retries"], MOST_RETRIES),
    # SQLite hands a trigger -1 for an id that it has yet to choose.
    RowRule(
        "redrive_tasks_id_sane_check",
        f"id BETWEEN 1 AND {HIGHEST_ID}",
        f"NEW.id IS NULL OR NEW.id BETWEEN -1 AND {HIGHEST_ID}",
    ),
    RowRule(
        "redrive_tasks_last_error_sane_check",
        f"length(last_error) <= {LONGEST_TEXT}",
        f"typeof(NEW.last_error) = 'text' AND length(NEW.last_error) <= {LONGEST_TEXT}",
    ),
    RowRule(
        "redrive_tasks_texts_sane_check",
        "true",  # PostgreSQL's types and lengths say it
        " AND ".join(f"typeof(NEW.{column}) = 'text' AND length(NEW.{column}) <= 255" for column in TEXTS)
        + " AND typeof(NEW.priority) = 'integer' AND (NEW.batch_id IS NULL OR (typeof(NEW.batch_id) = 'text'"
        " AND length(NEW.batch_id) = 32 AND NEW.batch_id NOT GLOB '*[^0-9a-f]*'))",
    ),
)
