"""What is found while reading settings, collected so that everything wrong is reported at once."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches

from ..errors import SettingsError


@dataclass(frozen=True, slots=True)
class Findings:
    """Problems and warnings, each under the dotted key it is about.

    The words never repeat a value that was read: any of them may be a secret in the wrong place.
    """

    prefix: str = ""
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _wrong: set[str] = field(default_factory=set)

    def under(self, key: str) -> "Findings":
        """The same findings, seen from inside a table."""
        return Findings(self._path(key), self.problems, self.warnings, self._wrong)

    def wrong(self, key: str, words: str) -> None:
        """Notes a problem: "what is wrong; the remedy"."""
        path = self._path(key)
        self._wrong.add(path)
        self.problems.append(f"{path}: {words}")

    def warn(self, key: str, words: str) -> None:
        """Notes what is allowed and worth a check."""
        self.warnings.append(f"{self._path(key)}: {words}")

    def refuse_unknown(self, keys: Iterable[str], known: Collection[str]) -> None:
        """Notes every key that is not a setting."""
        for key in keys:
            if key not in known:
                self.unknown(key, known)

    def unknown(self, key: str, known: Iterable[str]) -> None:
        """Notes a key that is not a setting, with the one that was probably meant."""
        names = sorted(known)
        near = get_close_matches(key, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(names)}"
        self.wrong(key, f"is not a setting; {hint}")

    def reported(self, key: str) -> bool:
        """Whether a problem of this very key is noted already."""
        return self._path(key) in self._wrong

    def raise_if_wrong(self) -> None:
        """Ends the reading.

        Raises:
            SettingsError: with every problem, when there is one.
        """
        if self.problems:
            raise SettingsError(self.problems)

    def _path(self, key: str) -> str:
        return ".".join(part for part in (self.prefix, key) if part)
