"""The words of a refusal: the field, its value cut and made printable, what is wrong and what to do."""

from ..errors import BadInput

_SHOWN = 60


def refused(field: str, value: object, words: str) -> BadInput:
    """The error; a value that is None is not shown."""
    return BadInput(f"{field} {_shown(value)}: {words}" if value is not None else f"{field}: {words}")


def _shown(value: object) -> str:
    if isinstance(value, int) and value.bit_length() > _SHOWN:
        return "(a huge number)"
    text = str(value)
    return repr(value) if isinstance(value, int) else repr(text[:_SHOWN]) + "…" * (len(text) > _SHOWN)
