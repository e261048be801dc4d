"""What a database's error means, decided by its SQLSTATE or SQLite's own code, never by the class a driver gave it.

Three kinds matter to a caller: the database is away or refuses everybody (wait, try again), something is
locked by another transaction (go on with other work), one row is at fault (set it aside). Anything else is a defect.
"""

import re

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from ..errors import DatabaseError, Locked, Unreachable, Unsuitable

_LOCKED = {"55P03", "40P01", "40001"}
"""Lock time-out, deadlock, serialization failure: another transaction is in the way."""

_REFUSING = {"25006", "42501", "42P01", "57014", "26000", "42P05", "25P03", "3D000", "3F000"}
"""Read-only, no grant, no table, statement time-out, a session that a pooler swapped: all pass, or somebody acts."""
_REFUSING_CLASSES = ("08", "28", "53", "57", "58")
"""Connections, authorization, resources, operator intervention, system errors."""

_AWAY_CLASSES = ("08", "57")
"""Of those: the ones in which nobody answers, or not for long."""

_SESSION_IS_USELESS = {"25006", "26000", "42P05"}
"""A new session may reach another server: after a failover the old one answers, and refuses for ever. A prepared
statement that is missing, or there already, is another's session."""

_REMEDIES = {
    "25006": "it takes no writes at the moment",
    "3F000": "create the schema, or name one with ?schema=NAME",
    "26000": "a pooler gave the session to somebody else",
    "42P05": "a pooler gave the session to somebody else",
}
_UNSUITABLE = {
    "unsupported startup parameter": "remove it from the address (a schema is named without options, as ?schema=NAME), "
    "or let PgBouncer's ignore_startup_parameters name it",
    "statement pooling": "Redrive needs transactions: set `pool_mode = transaction` or `session` in the pooler",
}
"""What a pooler says that cannot be worked through, and the remedy."""

_DENIED_CODE = "42501"
_DENIED = re.compile(r"permission denied for (table|sequence|schema|database) \"?([^\s\"]+)\"?")
_GRANTS = {
    "table": "SELECT, INSERT, UPDATE, DELETE ON",
    "sequence": "USAGE, SELECT ON SEQUENCE",
    "schema": "USAGE ON SCHEMA",
    "database": "CREATE ON DATABASE",
}

_SQLITE_LOCKED = {5, 6}  # BUSY, LOCKED
_SQLITE_REMEDIES = {
    8: "this user may only read the file: give it write access to the file and its directory",
    14: "this user needs its directory, and write access to it: SQLite keeps its log beside the file",
}  # READONLY, CANTOPEN
_SQLITE_ROW = {19, 20, 18}  # CONSTRAINT, MISMATCH, TOOBIG
_UNDECODABLE = "Could not decode to UTF-8"


def meaning(error: DBAPIError, where: str, user: str | None = None) -> Unreachable | None:
    """The error of ours that stands for this one; None when it is a row's fault or a defect.

    Args:
        error: what SQLAlchemy raised.
        where: which database or connection it was, without a password.
        user: who is connected, for the words of a GRANT.
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
    said = words(error)
    if pooler := next((remedy for text, remedy in _UNSUITABLE.items() if text in said), None):
        return Unsuitable(f"{where}: {said}; {pooler}")
    remedy = _remedy(error, user)
    kind = DatabaseError if refuses and code[:2] not in _AWAY_CLASSES else Unreachable
    return kind(f"{where}: {said}" + (f"; {remedy}" if remedy else ""))


def _remedy(error: DBAPIError, user: str | None) -> str | None:
    code = sqlstate(error)
    denied = _DENIED.search(words(error))
    if denied is not None and not code:  # at connecting, where errors have no code
        return f"run: {grant('CONNECT ON DATABASE', denied[2], user)}"
    if code == _DENIED_CODE:
        return _grant(error, user)
    return _REMEDIES.get(code) or _SQLITE_REMEDIES.get(_sqlite_code(error) or 0)


def _grant(error: DBAPIError, user: str | None) -> str:
    """What to run as the owner. PostgreSQL may speak another language, and then the words stay general."""
    denied = _DENIED.search(words(error))
    if denied is None:
        return "let the owner of schema and tables run `redrive migrate`, or grant this user what it needs"
    kind, name = denied.groups()
    creates = kind == "schema" and (error.statement or "").lstrip().upper().startswith("CREATE")
    rights = "USAGE, CREATE ON SCHEMA" if creates else _GRANTS[kind]
    by_its_owner = ", or let its owner run `redrive migrate`" if creates else ""
    return f"run: {grant(rights, name, user)}{by_its_owner}"


def grant(rights: str, name: str, user: str | None) -> str:
    """The statement that gives the rights."""
    return f"GRANT {rights} {name} TO {_identifier(user or 'YOUR_USER')};"


def _identifier(name: str) -> str:
    plain = name == "YOUR_USER" or re.fullmatch(r"[a-z_][a-z0-9_]*", name)
    return name if plain else '"' + name.replace('"', '""') + '"'


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
