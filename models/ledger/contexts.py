"""What the lifecycle decides on, made from a transaction."""

from random import Random

from ..lifecycle import Context
from ..rules import Rules
from ..sql.db import Transaction
from ..states import Operation
from . import standstills


def context(t: Transaction, rules: Rules, rng: Random) -> Context:
    """The account's rules and clock. The clock is only asked where a task seems to be too old."""
    return Context(rules, t.now, rng, lambda since: standstills.stood(t, rules.account, [*Operation], since))
