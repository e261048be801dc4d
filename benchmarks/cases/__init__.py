"""The measurements by name. Each takes the ground and how much is wanted, and returns its tables."""

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.cases import throughput
from benchmarks.cases.accounts import crowded, thousands
from benchmarks.cases.alone import provider_alone
from benchmarks.cases.broker import broker_memory
from benchmarks.cases.checks import checks
from benchmarks.cases.cold import cold_start
from benchmarks.cases.embedded import embedded
from benchmarks.cases.fairness import fairness
from benchmarks.cases.lists import lists
from benchmarks.cases.many_rows import many_rows
from benchmarks.cases.paced import FIELDS, paced
from benchmarks.cases.receipt import receipt
from benchmarks.cases.scale import scale_out
from benchmarks.cases.steady import steady
from benchmarks.ground import Ground
from benchmarks.options import Options
from benchmarks.tables import Table

Case = Callable[[Ground, Options], Table | list[Table]]

CASES: Mapping[str, Case] = {
    "provider": provider_alone,
    "batched": throughput.batched,
    "single": throughput.single,
    "slow-20": partial(throughput.slow, milliseconds=20),
    "slow-50": partial(throughput.slow, milliseconds=50),
    **{name: partial(paced, name=name) for name in FIELDS},
    "checks": checks,
    "receipt": receipt,
    "scale-out": scale_out,
    "many-rows": many_rows,
    "accounts": thousands,
    "crowded": crowded,
    "lists": lists,
    "broker": broker_memory,
    "fairness": fairness,
    "embedded": embedded,
    "cold-start": cold_start,
    "steady": steady,
}

SMOKE_TEST = [name for name in CASES if name not in {"paced-200", "paced-500", "paced-1000"}]
"""With a few accounts the others are ``paced`` over again."""
