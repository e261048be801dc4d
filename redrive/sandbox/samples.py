"""Rows to import for trying out, of every script of every provider; ``-m redrive.sandbox.samples`` prints CSV."""

import csv
import json
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Any, Final, TextIO

from redrive.models.providers import BUILT_IN

from .behavior import DETAILS, DOCFLOW, GEELARK, HUAWEI_WORKSPACE, REFUSALS, Detail, Refusal, Script
from .config import DocFlowLogin
from .script import make_id

COLUMNS: Final = ("account", "kind", "external_id", "sub_id", "origin", "status", "reason", "params")
ACCOUNTS: Final = {provider: BUILT_IN[provider].account for provider in (GEELARK, HUAWEI_WORKSPACE, DOCFLOW)}
KINDS: Final = {GEELARK: ("",), HUAWEI_WORKSPACE: ("task", "record"), DOCFLOW: ("review_task", "review_rule")}
ORIGINS: Final = {GEELARK: ("api", "client_ui"), HUAWEI_WORKSPACE: ("",), DOCFLOW: ("",)}
REASONS: Final = {
    GEELARK: {"failed": "20003 task timed out", "canceled": "20005 task canceled"},
    HUAWEI_WORKSPACE: {"failed": "the script ended with exit code 1", "canceled": "stopped by its user"},
    DOCFLOW: {"failed": "review failed", "canceled": "withdrawn by its reviewer"},
}

WORKSPACE_ID = DocFlowLogin().workspace_id
N_PER_PROVIDER = 220
SEED = 2026


def sample_rows(n_per_provider: int = N_PER_PROVIDER, seed: int = SEED) -> list[dict[str, Any]]:
    """Import rows of three accounts; the same arguments give the same rows. ``params`` is a JSON object."""
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    rows = [row for provider in ACCOUNTS for row in islice(_rows(provider, dice), n_per_provider)]
    dice.shuffle(rows)
    return rows


def write_csv(rows: Sequence[dict[str, Any]], file: TextIO) -> None:
    """The rows as the CSV that ``redrive import`` takes."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "params": json.dumps(row["params"]) if row["params"] else ""})


def _rows(provider: str, dice: random.Random) -> Iterator[dict[str, Any]]:
    """Endless. Every script comes round before one comes again."""
    for serial, script in enumerate(cycle(_scripts(provider)), start=1):
        kind, origin = dice.choice(KINDS[provider]), dice.choice(ORIGINS[provider])
        if script.refusal is Refusal.RULE_ELSEWHERE:
            kind = "review_rule"
        external_id = make_id(provider, serial, script)
        yield {
            "account": ACCOUNTS[provider],
            "kind": kind,
            "external_id": external_id,
            "sub_id": f"{external_id}{dice.randint(1, script.parts)}" if kind == "review_rule" else "",
            "origin": origin,
            "status": script.first_state,
            "reason": REASONS[provider][script.first_state],
            "params": {"workspace_id": WORKSPACE_ID} if provider == DOCFLOW and serial % 2 else {},
        }


def _scripts(provider: str) -> list[Script]:
    """Most succeed sooner or later; a few never do; each refusal and each detail is there."""
    parts = (1,) if provider == GEELARK else (1, 2, 3)
    plain = [
        Script(state, succeeds_on, parts=part)
        for state in ("failed", "canceled")
        for succeeds_on in (1, 1, 1, 1, 1, 2, 2, 3, None)
        for part in parts
    ]
    refused = [Script(succeeds_on=2, refusal=refusal) for refusal in REFUSALS[provider]]
    detailed = [Script(succeeds_on=2, detail=detail) for detail in DETAILS[provider] if detail is not Detail.PLAIN]
    return plain + refused + detailed


if __name__ == "__main__":
    write_csv(sample_rows(), sys.stdout)
