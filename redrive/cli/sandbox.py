"""``redrive sandbox``."""

from pathlib import Path
from typing import Annotated

import typer

from ..sandbox.config import SandboxConfig
from ..sandbox.page import page
from ..sandbox.samples import sample_rows, write_csv
from ..sandbox.server import run

SANDBOX_PORT = 8321
PerMinute = Annotated[int, typer.Option(min=0, help="Calls per API path; 0: no limit.")]


def sandbox(
    *,
    host: Annotated[str, typer.Option(help="Where it listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = SANDBOX_PORT,
    port_file: Annotated[Path | None, typer.Option(help="Written with the port once it takes calls.")] = None,
    write_tasks: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write tasks of its three accounts here, for redrive import.")
    ] = None,
    run_seconds: Annotated[float, typer.Option(min=0, help="How long a re-run takes.")] = 1.0,
    settle_lag_seconds: Annotated[float, typer.Option(min=0, help="How long checks still show the old end.")] = 0.0,
    latency_seconds: Annotated[float, typer.Option(min=0, help="Between applying a call and answering it.")] = 0.0,
    geelark_per_minute: PerMinute = 200,
    geelark_per_hour: Annotated[int, typer.Option(min=0, help="The same for an hour.")] = 24_000,
    huawei_per_minute: PerMinute = 0,
    docflow_per_minute: PerMinute = 0,
    huawei_same_ids: Annotated[
        bool, typer.Option("--huawei-same-ids", help="A Huawei retry answers the task id it was given.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the dice that faults are thrown with.")] = 0,
) -> None:
    """Run the three providers, simulated, for trying out; prints the accounts to paste into redrive.toml."""
    config = SandboxConfig(
        run_seconds=run_seconds,
        settle_lag_seconds=settle_lag_seconds,
        latency_seconds=latency_seconds,
        geelark_per_minute=geelark_per_minute or None,
        geelark_per_hour=geelark_per_hour or None,
        huawei_per_minute=huawei_per_minute or None,
        docflow_per_minute=docflow_per_minute or None,
        huawei_new_ids=not huawei_same_ids,
        seed=seed,
    )
    if write_tasks is not None:
        _write_samples(write_tasks)
    run(config, host, port, port_file=port_file, announce=lambda url: typer.echo(f"{page(config, url)}\nIt is {url}/"))


def _write_samples(path: Path) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            write_csv(sample_rows(), file)
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--write-tasks") from None
