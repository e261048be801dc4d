"""What takes too long for every run: ``make test-long`` sets ``REDRIVE_TEST_LONG=1``.

A test or a parameter with the mark ``long`` is skipped otherwise; a test that can be shorter asks :data:`LONG`.
"""

import os
from typing import Any

import pytest

LONG = os.environ.get("REDRIVE_TEST_LONG") == "1"
"""Read when tests are collected: no test sees the settings of whoever runs it."""


def long(*values: Any) -> Any:
    """A parameter of a test that is one of several of its kind, the others of which are tried every time."""
    return pytest.param(*values, marks=pytest.mark.long)
