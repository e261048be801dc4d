"""What the files say of a task."""

from models.intake import COLUMNS

TOLD = (
    "id", "dead_reason", "next", "due_at", "wish", "attempts", "spent", "granted", "provider_ref", "status_since",
    "created_at", "updated_at",
)  # fmt: skip
"""What an export says besides :data:`models.intake.COLUMNS`. An import takes these columns for granted and skips
them, so that an exported file can be imported as it is."""

EXPORTED = (*COLUMNS, *TOLD)
