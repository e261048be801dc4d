"""Tests. A package, so that ``tests.models`` can never stand in for ``models``."""
