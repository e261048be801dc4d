"""How a table of the file becomes a frozen value, and how its mistakes are reported."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo
from pydantic_core import ErrorDetails

from ..capabilities import Capabilities
from .findings import Findings


class Section(BaseModel):
    """A table of settings: typed as TOML is, frozen, and without a key it does not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        hide_input_in_errors=True,
    )


SectionT = TypeVar("SectionT", bound=Section)

Seconds = Annotated[float, Field(gt=0, le=1_000_000_000)]
"""A duration. Some thirty years at most, so that adding it to a moment never leaves the calendar."""

Days = Annotated[float, Field(gt=0, le=10_000)]


def at_least(other: str, *, times: float = 1, plus: float = 0) -> AfterValidator:
    """A check that two knobs agree: this one is not below ``times`` x the other (declared before it) + ``plus``."""

    def check(value: float, info: ValidationInfo) -> float:
        if other in info.data and value < (least := times * info.data[other] + plus):
            raise ValueError(
                f"{value:.12g} is too little beside {other}; must be at least {least:.12g}, or lower {other}"
            )
        return value

    return AfterValidator(check)


def validated(
    model: type[SectionT], table: Mapping[str, Any], context: Capabilities | None = None
) -> tuple[SectionT | None, list[ErrorDetails]]:
    """The table as a value, or what the model has against it. ``context``: the provider whose caps hold."""
    try:
        return model.model_validate(table, context=context), []
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)


def tell(model: type[Section], errors: list[ErrorDetails], findings: Findings) -> None:
    """Notes a model's errors in our words."""
    for error in errors:
        key = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            findings.unknown(key, model.model_fields)
        else:
            findings.wrong(key, error["msg"].removeprefix("Value error, ").replace("Input should be", "must be"))


def as_table(value: object, findings: Findings) -> dict[str, Any]:
    """The value when it is a table; otherwise an empty one, and a problem."""
    if isinstance(value, dict):
        return value
    findings.wrong("", f"must be a table; write [{findings.prefix}] and its keys below")
    return {}


def read_section(
    model: type[SectionT], table: Mapping[str, Any], findings: Findings, context: Capabilities | None = None
) -> SectionT | None:
    """The table as a value, or None when something in it is wrong."""
    value, errors = validated(model, table, context)
    tell(model, errors, findings)
    return value
