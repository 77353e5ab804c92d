"""The result of an extraction, a merge or a verification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsgn_pyg.features.extraction.contents import Contents
from avsgn_pyg.features.extraction.videos import NO_FILE, Failure

#: Ids without a file that are listed; the others are counted.
SHOWN = 20


@dataclass(frozen=True)
class Report:
    """A result.

    Attributes:
        path: the store.
        entries: N, its rows.
        encoded: videos that were encoded now.
        failures: videos without features, annotated ids without a file among them.
        lines: the result for a reader.
        agrees: of a verification, whether the features are those of the store.
    """

    path: Path
    entries: int
    encoded: int
    failures: tuple[Failure, ...]
    lines: tuple[str, ...]
    agrees: bool = True

    @property
    def passed(self) -> bool:
        """Whether no file failed; ids without a file do not count."""
        return self.agrees and all(failure.reason == NO_FILE for failure in self.failures)

    def table(self) -> str:
        """Return the lines for a reader."""
        return "\n".join(self.lines)


def describe(found: Contents, extraction: Mapping[str, Any], notes: Sequence[str] = ()) -> Iterator[str]:
    """Yield sentences about the videos of an `extraction`, as its provenance records it, `notes`, and the failures."""
    failures, flags = found.failures, {key: encoded.flags for key, encoded in sorted(found.finished.items())}
    absent = sum(failure.reason == NO_FILE for failure in failures)
    temporary = sum(failure.retryable for failure in failures)
    segments = round(extraction["segments"] * extraction["segment_seconds"])
    yield f"failed: {len(failures) - absent}, without a file: {absent}"
    yield ("videos with seconds that lack picture or sound (padded, listed in the provenance): "
           f"{sum(bool(flag.unheard or flag.unseen) for flag in flags.values())}")
    for name, text in (("breaks_off", "files that end before the end stated in their header"),
                       ("longer", f"files longer than {segments} seconds, of which the first {segments} were taken"),
                       ("start", "clips that begin after the start of their file"),
                       ("notes", "files with notes in the provenance")):
        marked = [key for key, flag in flags.items() if getattr(flag, name)]
        if marked:
            yield f"{text}: {len(marked)}, first {marked[0]}"
    if len(failures) - absent - temporary:
        yield (f"permanent failures: {len(failures) - absent - temporary}; the same command retries files whose size "
               "has changed, --retry-failed retries all")
    if temporary:
        yield f"temporary failures: {temporary}; the same command retries them"
    yield from notes
    gone = set([failure for failure in failures if failure.reason == NO_FILE][SHOWN:])
    yield from (f"  {failure}" for failure in failures if failure not in gone)
    if gone:
        yield f"  and {len(gone)} more without a file"
