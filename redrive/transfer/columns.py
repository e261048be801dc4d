"""What the files say of a task."""

from models.intake import COLUMNS

TOLD = (
    "id", "dead_reason", "next", "due_at", "wish", "attempts", "spent", "granted", "provider_ref", "status_since",
    "created_at", "updated_at",
)  # fmt: skip
"""What an export says besides :data:`models.intake.COLUMNS`."""

REFUSAL = "refusal"
"""Why a row was refused: the column that ``redrive import --errors`` adds."""

SKIPPED = (*TOLD, REFUSAL)
"""An import takes these for granted and skips them, so that our own files can be imported as they are."""

EXPORTED = (*COLUMNS, *TOLD)
