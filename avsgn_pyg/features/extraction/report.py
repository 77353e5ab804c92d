"""What an extraction came to, in numbers and in lines for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avsgn_pyg.features.extraction.jobs import NO_FILE, Failed, Marks

#: Failures that a message shows before it counts the rest.
SHOWN = 20


@dataclass(frozen=True)
class Report:
    """What an extraction came to.

    Attributes:
        path: the store.
        entries: N, its rows.
        videos: different videos in it.
        encoded: videos that this run encoded; the others were there already.
        failed: videos that are not in the store, annotated ids without a file among them.
        incomplete: videos some seconds of which have no picture or no sound of their own, with what they lack.
        unannotated: media files that no annotated row names.
    """

    path: Path
    entries: int
    videos: int
    encoded: int
    failed: tuple[Failed, ...]
    incomplete: dict[str, Marks]
    unannotated: int

    @property
    def passed(self) -> bool:
        """No video is missing."""
        return not self.failed

    def table(self) -> str:
        """In lines for a reader: the counts, then every video that is not there with its reason."""
        absent = sum(failed.reason == NO_FILE for failed in self.failed)
        passing = sum(failed.passing for failed in self.failed)
        lasting = len(self.failed) - absent - passing
        lines = [
            f"{self.videos} videos in {self.entries} entries; encoded now: {self.encoded}",
            f"failed: {len(self.failed) - absent}, without a file: {absent}",
            f"with seconds that lack picture or sound (padded, listed in the provenance): {len(self.incomplete)}",
        ]
        cut = [key for key, marks in self.incomplete.items() if marks.breaks_off]
        if cut:
            lines.append(f"of these, files that break off before their header says: {len(cut)}, first {cut[0]}")
        if not self.entries:
            lines.append("nothing of this shard worked; it goes into the merge with its failures alone")
        if lasting:
            lines.append(f"failed for good: {lasting}; try them again with --retry-failed")
        if passing:
            lines.append(f"failed for a reason that may pass: {passing}; the same command tries them again")
        if self.unannotated:
            lines.append(f"media files that no annotated row names, left alone: {self.unannotated}")
        return "\n".join([*lines, *listing(self.failed)])


def listing(failed: list[Failed] | tuple[Failed, ...]) -> list[str]:
    """A line for each of the first failures, and how many more there are."""
    more = len(failed) - SHOWN
    return [*(f"  {each}" for each in failed[:SHOWN]), *([f"  and {more} more"] if more > 0 else [])]
