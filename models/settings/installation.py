"""The name of an installation, which keeps its queues apart from those of others on the same broker."""

import re
from hashlib import sha256
from pathlib import Path

from sqlalchemy.engine import make_url

from ..sql.database_address import schema_of

_LONGEST = 24


def of_database(url: str) -> str:
    """The name that a database gives to the installation that works in it.

    The name of a PostgreSQL database is the same by whichever address it is reached, a pooler's too; a schema that the
    address names is part of it. Two files of SQLite often have the same name, so there the path counts.
    """
    parts = make_url(url)
    if parts.get_backend_name() == "sqlite":
        path = str(Path(parts.database or "").resolve())
        return f"sqlite-{sha256(path.encode()).hexdigest()[:10]}"
    name = parts.database or parts.username or "postgres"
    if (schema := schema_of(parts)) is not None:
        name = f"{name}-{schema}"
    plain = re.sub(r"[^a-z0-9_-]", "-", name.lower()).strip("-_")[:_LONGEST]
    return plain if plain == name else f"{plain}-{sha256(name.encode()).hexdigest()[:6]}".strip("-")
