"""The measurements by name. Each takes the ground and how much is wanted, and returns its tables."""

from collections.abc import Callable, Mapping
from functools import partial

from ..ground import Ground
from ..options import Options
from ..tables import Table
from . import throughput
from .accounts import crowded, thousands
from .alone import provider_alone
from .broker import broker_memory
from .checks import checks
from .cold import cold_start
from .embedded import embedded
from .fairness import fairness
from .lists import lists
from .many_rows import many_rows
from .paced import FIELDS, paced
from .receipt import receipt
from .scale import scale_out
from .steady import steady

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
