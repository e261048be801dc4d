"""What the environment says. A plain model over a mapping: nothing is read behind the caller's back."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from .findings import Findings
from .section import Section, read_section
from .services import installation_name
from .urls import checked_broker_url, checked_database_url, unwrapped

PREFIX = "REDRIVE_"
DATABASE_FILE = "redrive.db"


def _path(value: object) -> object:
    return unwrapped(value) if isinstance(value, str) else value


_Path = Annotated[Path, Field(strict=False), BeforeValidator(_path)]


class Environment(Section):
    """The variables that say where things are.

    Attributes:
        database_url: ``REDRIVE_DATABASE_URL``; None: an SQLite file under ``home``.
        broker_url: ``REDRIVE_BROKER_URL``; None: a broker of our own, started by ``redrive up``.
        config: ``REDRIVE_CONFIG``, the settings file.
        home: ``REDRIVE_HOME``, the directory for what the embedded parts keep.
        installation: ``REDRIVE_INSTALLATION``, the name in the names of the queues; it wins over ``[broker]``.
    """

    model_config = ConfigDict(
        alias_generator=lambda name: PREFIX + name.upper(), validate_by_name=True, validate_by_alias=True
    )

    database_url: Annotated[str, AfterValidator(checked_database_url)] | None = Field(default=None, repr=False)
    broker_url: Annotated[str, AfterValidator(checked_broker_url)] | None = Field(default=None, repr=False)
    config: _Path = Path("redrive.toml")
    home: _Path = Path(".redrive")
    installation: Annotated[str, AfterValidator(installation_name)] | None = None

    @property
    def used_database_url(self) -> str:
        """``database_url``, or the address of the SQLite file under ``home``."""
        return self.database_url or f"sqlite:///{self.home.absolute() / DATABASE_FILE}"


_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)")
"""What Kubernetes puts into every pod of a namespace for a Service of the name before it."""

NAMES = tuple(PREFIX + name.upper() for name in Environment.model_fields)


def read_environment(environ: Mapping[str, str], findings: Findings) -> Environment:
    """Our variables; the defaults where one of them is wrong, and a problem."""
    given = {name: environ[name] for name in NAMES if name in environ}
    for name in [name for name, value in given.items() if not value]:
        findings.wrong(name, "is empty; give it a value or unset it")
        del given[name]
    return read_section(Environment, given, findings) or Environment()


def warn_of_misspelled(environ: Iterable[str], used: set[str], findings: Findings) -> None:
    """Warns of variables that look like one of ours and are not. What an account or Kubernetes names is left alone."""
    for name in {name for name in environ if name.startswith(PREFIX)} - used - set(NAMES):
        if _SERVICE_LINK.fullmatch(name):
            continue
        ours = [known.removeprefix(PREFIX) for known in NAMES]
        if near := get_close_matches(name.removeprefix(PREFIX), ours, n=1, cutoff=0.8):
            findings.warn(name, f"is not read; did you mean {PREFIX}{near[0]}?")
