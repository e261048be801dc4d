"""What the files say of a task."""

from redrive.models.intake import COLUMNS

STATE = (
    "id", "dead_reason", "next", "due_at", "wish", "attempts", "spent", "granted", "provider_ref", "status_since",
    "created_at", "updated_at",
)  # fmt: skip
"""What an export says besides :data:`redrive.models.intake.COLUMNS`."""

REFUSAL = "refusal"
"""Why a row was refused: the column that ``redrive import --errors`` adds."""

SKIPPED = (*STATE, REFUSAL)
"""An import skips these, so that our own files can be imported as they are."""

EXPORTED = (*COLUMNS, *STATE)
