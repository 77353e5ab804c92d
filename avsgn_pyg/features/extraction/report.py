"""The result of an extraction, a merge or a verification."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avsgn_pyg.features.extraction.videos import Failure

#: Failures that a message lists before it counts the rest.
SHOWN = 20


@dataclass(frozen=True)
class Report:
    """A result.

    Attributes:
        path: the store.
        entries: N, its rows.
        encoded: videos that were encoded now.
        failures: videos without features, annotated ids without a file among them.
        passed: nothing failed.
        lines: the result for a reader.
    """

    path: Path
    entries: int
    encoded: int
    failures: tuple[Failure, ...]
    passed: bool
    lines: tuple[str, ...]

    def table(self) -> str:
        """Return the lines for a reader."""
        return "\n".join(self.lines)


def list_failures(failures: Sequence[Failure]) -> list[str]:
    """Return a line for each of the first failures, and the number of the others."""
    more = len(failures) - SHOWN
    return [*(f"  {each}" for each in failures[:SHOWN]), *([f"  and {more} more"] if more > 0 else [])]
