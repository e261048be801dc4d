"""The schema's history (Alembic), shipped with the package and run by ``redrive migrate``."""
