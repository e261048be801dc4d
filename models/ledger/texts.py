"""Text that is stored: from any source, it is cut and holds nothing that a database refuses."""

LONGEST = 1000
"""Characters of a reason or of a provider's words that are kept."""


def storable(text: object, longest: int = LONGEST) -> str:
    """The text, cut, without NUL characters and halves of surrogate pairs. What is not text is shown as text."""
    words = text if isinstance(text, str) else "" if text is None else str(text)
    return words[:longest].encode("utf-8", "replace").decode().replace("\0", "")
