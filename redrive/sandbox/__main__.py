"""``python -P -m redrive.sandbox``: the sandbox as a process of its own, for programs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from redrive.models.errors import SettingsError

from .config import SandboxConfig
from .server import LOOPBACK, run

DEFAULTS = SandboxConfig()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="redrive.sandbox", description="The three providers, for trying things out.")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--port-file", type=Path, help="written with the port once connections are taken")
    parser.add_argument("--run-seconds", type=float, default=DEFAULTS.run_seconds, help="how long a re-run takes")
    parser.add_argument("--settle-lag-seconds", type=float, default=0.0, help="how long status calls show the old end")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="between applying a call and answering it")
    parser.add_argument("--geelark-per-minute", type=int, default=DEFAULTS.geelark_per_minute, help="0: no limit")
    parser.add_argument("--geelark-per-hour", type=int, default=DEFAULTS.geelark_per_hour, help="0: no limit")
    parser.add_argument("--huawei-per-minute", type=int, default=0, help="0: no limit")
    parser.add_argument("--docflow-per-minute", type=int, default=0, help="0: no limit")
    parser.add_argument("--huawei-same-ids", action="store_true", help="a retry answers the task id it was given")
    parser.add_argument("--seed", type=int, default=0, help="of the dice that faults are thrown with")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    given = _parser().parse_args(arguments)
    config = SandboxConfig(
        run_seconds=given.run_seconds,
        settle_lag_seconds=given.settle_lag_seconds,
        latency_seconds=given.latency_seconds,
        geelark_per_minute=given.geelark_per_minute or None,
        geelark_per_hour=given.geelark_per_hour or None,
        huawei_per_minute=given.huawei_per_minute or None,
        docflow_per_minute=given.docflow_per_minute or None,
        huawei_new_ids=not given.huawei_same_ids,
        seed=given.seed,
    )
    try:
        run(config, given.host, given.port, port_file=given.port_file, announce=_announce)
    except SettingsError as error:
        sys.exit(str(error))


def _announce(url: str) -> None:
    sys.stdout.write(f"sandbox on {url}/ - open it to see what it serves and how to use it\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
