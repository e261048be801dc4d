"""A database's own words, followed by what to do about them where that is known."""

import re

_REMEDIES = (
    (r"must be (?:owner|a member)", "let the owner of the tables run `redrive migrate`"),
    (
        r"read-only transaction|cannot execute \w+ in a read-only",
        "the server only reads: name the primary, or several hosts with ?target_session_attrs=read-write",
    ),
    (r"readonly database", "give this user write access to the file and its directory"),
    (r"unable to open database file", "make its directory, and let this user write there"),
    (r"disk is full|No space left on device", "free space on the disk of the database"),
    (r"database is locked", "another program holds the file: wait, or end that"),
    (r"password authentication failed|no password supplied", "fix user and password in REDRIVE_DATABASE_URL"),
    (r'database "\S+" does not exist', "create it, or fix REDRIVE_DATABASE_URL"),
)
"""Words of an error → what to do. Of missing rights :mod:`redrive.models.sql.db_errors` knows more."""


def with_remedy(words: str) -> str:
    """The words on one line, without the statement they are about, and the remedy where they have none yet."""
    said = " ".join(re.sub(r"\s*LINE \d+:.*", "", words, flags=re.DOTALL).split())
    if "; " in said:
        return said
    for pattern, remedy in _REMEDIES:
        if found := re.search(pattern, said):
            return f"{said}; {found.expand(remedy)}"
    return said
