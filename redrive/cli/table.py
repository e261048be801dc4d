"""Every command by its panel of ``redrive --help``: where its function is, and what one line says of it.

The help of all commands is drawn from here; a command's module, and with it all that it needs, is loaded when the
command is run or asked for its own help.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """One command of the table.

    Attributes:
        where: ``module:function`` in this package.
        words: the first paragraph of the function's docstring.
    """

    where: str
    words: str


PANELS: Mapping[str, Mapping[str, Line]] = {
    "Run": {
        "demo": Line(
            "demo:demo",
            "See the whole system retry simulated failures on this machine; ends with 0 when all ended as they should.",
        ),
        "up": Line(
            "up:up",
            "Run scheduler, worker and Flower until Ctrl-C, with a broker and a database of its own where none is set.",
        ),
        "scheduler": Line(
            "scheduler:scheduler",
            "Run a scheduler: it decides what is due and hands it to the workers. Any number may run.",
        ),
        "worker": Line(
            "worker:worker",
            "Run a worker: it calls the providers. SIGTERM lets it finish what is open and give back the rest.",
        ),
        "flower": Line(
            "flower:flower",
            "Run Flower, which shows batches and workers in a browser, on the address that redrive.toml names.",
        ),
        "sandbox": Line(
            "sandbox:sandbox",
            "Run the three providers, simulated, for trying out; prints the accounts to paste into redrive.toml.",
        ),
    },
    "Tasks": {
        "status": Line(
            "status:status",
            "Everything at a glance: tasks by account and status, what is due, what is in the way, what was done.",
        ),
        "list": Line("tasks:list_tasks", "Tasks by filter, in the order of their ids. Without a filter: all of them."),
        "show": Line(
            "tasks:show",
            "One task with its attempts, what people did to it, and the results that were kept.",
        ),
        "explain": Line("tasks:explain", "In words: why a task is where it is, what happens next, and when."),
        "actions": Line(
            "tasks:actions",
            "What people, and Redrive itself, did to tasks and accounts: the newest first.",
        ),
        "retry": Line(
            "act:retry",
            "Retry tasks now, within their limits; the state of what is at work or followed is checked now.",
        ),
        "hold": Line("act:hold", "Keep tasks from being retried until they are released."),
        "release": Line(
            "act:release",
            "Let held tasks go on, each after a check of its state; or withdraw a wish to hold or stop.",
        ),
        "stop": Line("act:stop", "Give tasks up: dead (stopped), now or when the retry under way has failed."),
        "revive": Line("act:revive", "Bring dead tasks back, with as many retries again as the policy gives."),
        "import": Line("transfer:import_", "Add the tasks of a file: CSV with a header, or JSON."),
        "export": Line(
            "transfer:export",
            "Write all tasks, or those of some accounts and statuses, as CSV or JSON lines that can be imported again.",
        ),
        "prune": Line(
            "prune:prune",
            "Delete what ended longer ago than the settings keep it. Schedulers do so by themselves.",
        ),
    },
    "Accounts": {
        "accounts": Line("accounts:accounts", "The accounts: provider, pace and whether each is at work."),
        "pause": Line(
            "accounts:pause",
            "Leave an account alone: nothing of it is claimed, and workers give back what they have not sent.",
        ),
        "resume": Line("accounts:resume", "Let an account go on: ends a pause of any cause and closes its breakers."),
    },
    "Set-up": {
        "init": Line("init:init", "Write a commented `redrive.toml`, or the file that REDRIVE_CONFIG names."),
        "doctor": Line(
            "doctor:doctor",
            "Check settings, credentials, database and broker, and that they agree. Changes nothing.",
        ),
        "migrate": Line("migrate:migrate", "Bring the database's schema up to this version."),
    },
}

COMMANDS: Mapping[str, Line] = {name: line for lines in PANELS.values() for name, line in lines.items()}
