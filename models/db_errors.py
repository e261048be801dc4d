"""What a database's error means, decided by its SQLSTATE or SQLite's own code, never by the class a driver gave it.

Three kinds matter to whoever catches one: the database is away or refuses everybody (wait, try again), something is
locked by another transaction (go on with other work), one row is at fault (set it aside). Anything else is a defect.
"""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from .errors import DatabaseError, Locked, Unreachable

_LOCKED = {"55P03", "40P01", "40001"}
"""Lock time-out, deadlock, serialization failure: another transaction is in the way."""

_REFUSING = {"25006", "42501", "42P01", "57014", "26000", "25P03", "3D000", "3F000"}
"""Read-only, no grant, no table, statement time-out, a session that a pooler swapped: all pass, or somebody acts."""
_REFUSING_CLASSES = ("08", "28", "53", "57", "58")
"""Connections, authorization, resources, operator intervention, system errors."""

_AWAY_CLASSES = ("08", "57")
"""Of those: the ones in which nobody answers, or not for long."""

_SESSION_IS_USELESS = {"25006", "26000"}
"""A new session may reach another server: after a failover the old one answers, and refuses for ever."""

_REMEDIES = {
    "42501": "grant this user what the table or schema needs, or let its owner run `redrive migrate`",
    "25006": "it takes no writes at the moment",
}

_SQLITE_LOCKED = {5, 6}  # BUSY, LOCKED
_SQLITE_ROW = {19, 20, 18}  # CONSTRAINT, MISMATCH, TOOBIG
_UNDECODABLE = "Could not decode to UTF-8"


def meaning(error: DBAPIError, where: str) -> Unreachable | None:
    """The error of ours that stands for this one; None when it is a row's fault or a defect.

    Args:
        error: what SQLAlchemy raised.
        where: which database or connection it was, without a password.
    """
    code = sqlstate(error)
    if code in _LOCKED or _sqlite_code(error) in _SQLITE_LOCKED:
        return Locked(f"{where}: locked by another transaction: {words(error)}")
    if is_row_fault(error):
        return None
    refuses = code in _REFUSING or code[:2] in _REFUSING_CLASSES
    unnamed = not code and isinstance(error, OperationalError | InterfaceError)
    if not (refuses or unnamed or error.connection_invalidated):
        return None
    remedy = f"; {_REMEDIES[code]}" if code in _REMEDIES else ""
    kind = DatabaseError if refuses and code[:2] not in _AWAY_CLASSES else Unreachable
    return kind(f"{where}: {words(error)}{remedy}")


def is_row_fault(error: BaseException) -> bool:
    """Whether one row is to blame: it cannot be read, or the schema refuses what would be written."""
    if not isinstance(error, DBAPIError):
        # What a stored value makes of the code that reads it.
        return isinstance(error, ValueError | TypeError | KeyError | OverflowError | RecursionError)
    if (code := _sqlite_code(error)) is not None:
        return code in _SQLITE_ROW
    if _UNDECODABLE in str(error.orig):
        return True
    state = sqlstate(error)
    # Psycopg refuses a moment beyond Python's years by itself, as DataError without a state.
    return state[:2] in {"22", "23"} or (not state and type(error).__name__ == "DataError")


def blame(error: BaseException) -> str:
    """What is wrong with the row, in a few words that hold none of its values."""
    if not isinstance(error, DBAPIError):
        return f"it cannot be read: {type(error).__name__}"
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None and (said := diagnosis.constraint_name or diagnosis.message_primary):
        return str(said)[:300]
    # SQLite names the constraint, and psycopg what it could not read.
    return words(error)


def session_is_useless(error: DBAPIError) -> bool:
    """Whether the connection must be thrown away although it answers."""
    return sqlstate(error) in _SESSION_IS_USELESS


def sqlstate(error: DBAPIError) -> str:
    """PostgreSQL's five letters, whatever a host's driver calls them, or ''."""
    return getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or ""


def words(error: DBAPIError) -> str:
    """The database's own words, on one line."""
    return " ".join(str(error.orig).split())[:300]


def _sqlite_code(error: DBAPIError) -> int | None:
    code = getattr(error.orig, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else None
