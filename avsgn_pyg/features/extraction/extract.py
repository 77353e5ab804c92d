"""From videos to a feature store: what is finished is kept, what fails is told, the rest goes on.

Letters: N videos or annotated rows, T segments of one second, k frames a segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from avsgn_pyg.data.feature_store import Features, LabelText, read_store, write_store
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.encoder import PROMPTS, AudioEncoder, FrameEncoder, label_text
from avsgn_pyg.features.extraction import parts as kept
from avsgn_pyg.features.extraction import provenance as story
from avsgn_pyg.features.extraction.engine import Engine, LocalEngine
from avsgn_pyg.features.extraction.jobs import NO_FILE, ExtractionError, Failed, Marks, Plan
from avsgn_pyg.features.extraction.parts import Encoded, Parts

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
        lines = [
            f"{self.videos} videos in {self.entries} entries; encoded now: {self.encoded}",
            f"failed: {len(self.failed) - absent}, without a file: {absent}",
            f"with seconds that lack picture or sound (padded, listed in the provenance): {len(self.incomplete)}",
        ]
        cut = [key for key, marks in self.incomplete.items() if marks.breaks_off]
        if cut:
            lines.append(f"of these, files that break off before their header says: {len(cut)}, first {cut[0]}")
        if self.unannotated:
            lines.append(f"media files that no annotated row names, left alone: {self.unannotated}")
        return "\n".join([*lines, *listing(self.failed)])


def extract(
    plan: Plan,
    out: str | Path,
    frame_encoder: FrameEncoder,
    audio_encoder: AudioEncoder,
    *,
    segments: int = 10,
    frames_per_segment: int = 1,
    prompts: Mapping[str, str] = PROMPTS,
    workers: int | None = None,
    engine: Engine | None = None,
    overwrite: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> Report:
    """Encode every video of `plan` that is not there yet, and write the store.

    A run that ends early, however, leaves ``<out>.parts/``, from which the next goes on. Where the store is
    there already, the next run adds to it what it lacks.

    Args:
        plan: from :mod:`avsgn_pyg.features.extraction.jobs`.
        out: the store; with a shard, its name gets the shard's number.
        segments: T.
        frames_per_segment: k.
        prompts: templates of the label text, where the plan knows the classes.
        workers: reading processes; ``None`` takes a sensible number, 0 reads in this process.
        engine: what encodes in place of reading processes and the encoders here.
        overwrite: begin again, whatever is there.
        retry_failed: try those again that failed before; else they stay failed.
        progress: show a bar.

    Raises:
        ExtractionError: what is there was made with other settings; no video worked; something cannot be
            written; another process is extracting to `out`.
    """
    if segments < 1 or frames_per_segment < 1:
        raise ExtractionError(f"segments={segments}, frames_per_segment={frames_per_segment}: give 1 or more of each")
    out = plan.shard.name(Path(out))
    how = {"segments": segments, "frames_per_segment": frames_per_segment}
    origin = story.describe(plan, frame_encoder, audio_encoder, prompts=prompts, **how)
    engine = engine or LocalEngine(frame_encoder, audio_encoder, workers=workers, **how)
    with kept.opened(out, story.settings(origin), overwrite=overwrite) as parts:
        _take_over(plan, out, parts, story.settings(origin))
        # Before the long work: without a tokenizer there is no use in starting.
        text = None if plan.categories is None else label_text(frame_encoder, audio_encoder, plan.categories, prompts)
        encoded = _encode(plan, parts, engine, retry_failed, progress)
        features = assemble(plan, parts, origin, text)
        try:
            write_store(out, features)
        except OSError as error:
            raise kept.cannot_write(out, error) from None
        parts.remove()
    return _report(plan, out, features, encoded)


def _take_over(plan: Plan, out: Path, parts: Parts, settings: Mapping[str, Any]) -> None:
    """Start from the store that is there; what a later run left in its parts is newer.

    Raises:
        ExtractionError: it is no store of these settings, or not of these files.
    """
    if parts.replace or not out.exists():
        return
    try:
        store = read_store(out)
    except DataError as error:
        raise ExtractionError(f"{error}; give another output, or replace it with --overwrite") from None
    kept.refuse_other_settings(out, story.settings(store.provenance, out), settings)
    known = set(store.video_ids)
    sizes = {video.id: video.size for video in plan.videos if video.id in known}
    if story.files_digest(sizes) != store.provenance.get("files digest"):
        raise ExtractionError(
            f"{out}: made of other files, or some were replaced or removed since; give another output, or "
            "start again with --overwrite"
        )
    marks = story.marks(store.provenance)
    there = {
        key: Encoded(audio, visual, marks.get(key, Marks()), sizes[key])
        for key, audio, visual in zip(store.video_ids, store.audio, store.visual, strict=True)
    }
    parts.finished = there | parts.finished
    failed = story.kept_failures(story.failures(store.provenance)) | parts.failed
    parts.failed = {key: value for key, value in failed.items() if key not in parts.finished}


def _encode(plan: Plan, parts: Parts, engine: Engine, retry_failed: bool, progress: bool) -> int:
    """Videos encoded now; every one is in the parts when the next is asked for."""
    todo = [video for video in plan.videos if parts.lacks(video, retry_failed)]
    encoded = 0
    with tqdm(total=len(plan), initial=len(plan) - len(todo), desc="extract", unit="video", dynamic_ncols=True,
              disable=not progress) as bar:
        for finished, failed in engine.run(todo) if todo else ():
            if finished:
                parts.add(finished)
            if failed:
                parts.fail(failed)
            encoded += len(finished)
            bar.set_postfix(failed=len(parts.failed))
            bar.update(len(finished) + len(failed))
    return encoded


def assemble(plan: Plan, parts: Parts, origin: Mapping[str, Any], text: LabelText | None) -> Features:
    """The store's content: an entry for every annotated row in order, or for every file of a plain folder.

    Raises:
        ExtractionError: none of the videos worked.
    """
    there = {video.id: video for video in plan.videos if video.id in parts.finished}
    failed = [*plan.missing, *(parts.failed[video.id] for video in plan.videos if video.id not in there)]
    if not there:
        raise ExtractionError("\n".join([f"none of {len(failed)} videos could be encoded", *listing(failed)]))
    if any(video.rows for video in there.values()):
        rows, keys = zip(*sorted((row, video.id) for video in there.values() for row in video.rows), strict=True)
    else:
        rows, keys = (), tuple(there)
    mine = {key: parts.finished[key] for key in there}
    return Features(
        audio=torch.stack([mine[key].audio for key in keys]),
        visual=torch.stack([mine[key].visual for key in keys]),
        video_ids=keys,
        rows=torch.tensor(rows) if rows else None,
        categories=plan.categories,
        label_text=text,
        provenance={
            **origin,
            "files digest": story.files_digest({key: video.size for key, video in there.items()}),
            "failed": [each.record() for each in sorted(failed, key=lambda each: (each.rows, each.id))],
            "incomplete": story.incomplete(mine),
        },
    )


def listing(failed: list[Failed] | tuple[Failed, ...]) -> list[str]:
    """A line for each of the first failures, and how many more there are."""
    more = len(failed) - SHOWN
    return [*(f"  {each}" for each in failed[:SHOWN]), *([f"  and {more} more"] if more > 0 else [])]


def _report(plan: Plan, out: Path, features: Features, encoded: int) -> Report:
    return Report(
        path=out,
        entries=len(features.video_ids),
        videos=len(set(features.video_ids)),
        encoded=encoded,
        failed=tuple(story.failures(features.provenance)),
        incomplete=story.marks(features.provenance),
        unannotated=plan.unannotated,
    )
