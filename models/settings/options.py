"""The keys of an account that belong to its provider, checked as data against ``Capabilities.options``."""

import re
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from itertools import chain
from pathlib import Path
from typing import Any

from ..capabilities import Capabilities, Option
from .findings import Findings
from .secrets import Reference, reference
from .urls import api_url

Value = str | bool | Reference


def read_options(
    table: Mapping[str, Any], capabilities: Capabilities, folder: Path, findings: Findings, *, allow_http: bool
) -> dict[str, Value]:
    """The provider's keys of an account's table, completed with the provider's defaults."""
    given = table.keys() & capabilities.options.keys()
    _check_required(given, capabilities, findings)
    _check_credentials(given, capabilities, findings)
    values: dict[str, Value] = {}
    for key, option in capabilities.options.items():
        if key in table:
            try:
                values[key] = _value(key, table[key], option, folder, allow_http=allow_http)
            except ValueError as error:
                findings.wrong(key, str(error))
        elif option.default is not None:
            values[key] = option.default
    return values


def _value(key: str, value: object, option: Option, folder: Path, *, allow_http: bool) -> Value:
    if option.type == "boolean":
        if isinstance(value, bool):
            return value
        raise ValueError("must be true or false, written here and without quotes")
    if isinstance(value, dict):
        return reference(value, folder)
    if option.secret:
        raise ValueError(f"is a secret and does not belong in this file; write {_by_reference(option)}")
    return checked(key, value, option, allow_http=allow_http)


def _by_reference(option: Option) -> str:
    return f'{{ env = "{option.example or "NAME"}" }} or {{ file = "PATH" }}'


def checked(key: str, value: object, option: Option, *, allow_http: bool) -> str:
    """The text, when the option allows it. An option whose name ends in ``_url`` is an address.

    Raises:
        ValueError: it is not allowed. The words do not repeat it.
    """
    if not isinstance(value, str):
        raise ValueError("must be text; put it in quotes")  # noqa: TRY004 - for people, one kind of mistake
    if not value or not value.isprintable():
        raise ValueError("must not be empty or hold line breaks and control characters; write it on one line")
    if option.header and not value.isascii():
        raise ValueError(
            "holds a character that no header can carry, such as a typographic quote; write printable ASCII"
        )
    if option.choices and value not in option.choices:
        raise ValueError(f"must be one of {', '.join(option.choices)}")
    if option.pattern and not re.fullmatch(option.pattern, value):
        example = f", such as {option.example}" if option.example and not option.secret else ""
        raise ValueError(f"is not of the form {option.pattern}{example}")
    return api_url(value, allow_http=allow_http) if key.endswith("_url") else value


def _check_required(given: Collection[str], capabilities: Capabilities, findings: Findings) -> None:
    for key, option in capabilities.options.items():
        if option.required and key not in given:
            example = _by_reference(option) if option.secret else f'"{option.example}"'
            findings.wrong(key, f"is missing; write {key} = {example}")


def _check_credentials(given: AbstractSet[str], capabilities: Capabilities, findings: Findings) -> None:
    """Exactly one credential, whole; and beside it only what belongs to it."""
    alternatives = capabilities.credentials
    possible = {*chain(*alternatives)}
    parts = [key for key in capabilities.options if key in given and key in possible]
    missing = any(capabilities.options[key].required for key in possible - given)  # reported already
    if alternatives and not missing and set(parts) not in map(set, alternatives):
        wanted = ", or ".join(" + ".join(alternative) for alternative in alternatives)
        findings.wrong("", f"needs exactly one credential, whole: {wanted}; given: {' + '.join(parts) or 'none'}")
    for anchor, companions in capabilities.optional_with.items():
        for key in companions if anchor not in given else ():
            if key in given:
                findings.wrong(key, f"belongs to {anchor}; add {anchor} or remove {key}")
