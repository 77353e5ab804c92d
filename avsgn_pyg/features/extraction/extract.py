"""From videos to a feature store: what is finished is kept, what fails is told, the rest goes on.

Letters: N videos or annotated rows, T segments of one second, k frames a segment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from avsgn_pyg.data.feature_store import Features, LabelText, read_store, write_store
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.encoder import PROMPTS, AudioEncoder, FrameEncoder, label_text
from avsgn_pyg.features.extraction import parts as kept
from avsgn_pyg.features.extraction import provenance as story
from avsgn_pyg.features.extraction.empty import read_empty, write_empty
from avsgn_pyg.features.extraction.engine import Engine, LocalEngine
from avsgn_pyg.features.extraction.jobs import ExtractionError, Marks, Plan
from avsgn_pyg.features.extraction.parts import Encoded, Parts
from avsgn_pyg.features.extraction.report import Report, listing
from avsgn_pyg.features.extraction.whole import cannot_write


def extract(
    plan: Plan,
    out: str | Path,
    frame_encoder: FrameEncoder,
    audio_encoder: AudioEncoder,
    *,
    segments: int = 10,
    frames_per_segment: int = 1,
    own_length: bool = False,
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
        own_length: a shorter video ends where it ends; T is then the longest.
        prompts: templates of the label text, where the plan knows the classes.
        workers: reading processes; ``None`` takes a sensible number, 0 reads in this process.
        engine: what encodes in place of reading processes and the encoders here.
        overwrite: replace what is there; a replacement that was stopped is gone on with.
        retry_failed: try those again that failed before; else they stay failed.
        progress: show a bar.

    Raises:
        ExtractionError: what is there was made with other settings, or of files that are gone; no video worked
            (of a shard, that is written down for the merge instead); something cannot be written; another
            process is extracting to `out`.
    """
    if segments < 1 or frames_per_segment < 1:
        raise ExtractionError(f"segments={segments}, frames_per_segment={frames_per_segment}: give 1 or more of each")
    out = plan.shard.name(Path(out))
    how = {"segments": segments, "frames_per_segment": frames_per_segment, "own_length": own_length}
    origin = story.describe(plan, frame_encoder, audio_encoder, prompts=prompts, **how)
    engine = engine or LocalEngine(frame_encoder, audio_encoder, workers=workers, **how)
    settings = story.settings(origin)
    with kept.opened(out, settings, overwrite=overwrite, versions=origin["versions"]) as parts:
        _take_over(plan, out, parts, settings)
        # Before the long work: without a tokenizer there is no use in starting.
        text = None if plan.categories is None else label_text(frame_encoder, audio_encoder, plan.categories, prompts)
        encoded = _encode(plan, parts, engine, retry_failed, progress)
        record = _provenance(plan, parts, origin)
        features = assemble(plan, parts, record, text)
        try:
            if features is None:
                write_empty(out, record)
            else:
                write_store(out, features)
        except OSError as error:
            raise cannot_write(out, error) from None
        parts.remove()
    return _report(plan, out, () if features is None else features.video_ids, record, encoded)


def _take_over(plan: Plan, out: Path, parts: Parts, settings: Mapping[str, Any]) -> None:
    """Start from the store that is there; what a later run left in its parts is newer.

    Raises:
        ExtractionError: it is no store of these settings, or some of its videos are gone.
    """
    if not parts.replace and out.exists():
        try:
            empty = read_empty(out)
            store = read_store(out) if empty is None else None
        except DataError as error:
            raise ExtractionError(f"{error}; give another output, or replace it with --overwrite") from None
        record = empty if store is None else store.provenance
        kept.refuse_other_settings(out, story.settings(record, out), settings)
        parts.finished = ({} if store is None else _finished(plan, out, store)) | parts.finished
        parts.failed = story.kept_failures(story.failures(record)) | parts.failed
        if store is not None:
            parts.earlier = [*story.versions(record), *parts.earlier]
    # Features of a file that was replaced are nobody's any more, even if the new one fails.
    for video in plan.videos:
        if parts.lacks(video):
            parts.finished.pop(video.id, None)
    parts.failed = {key: value for key, value in parts.failed.items() if key not in parts.finished}


def _finished(plan: Plan, out: Path, store: Features) -> dict[str, Encoded]:
    """What a store holds, with the sizes that the files had; ExtractionError where a file is gone."""
    planned, known = {video.id for video in plan.videos}, dict.fromkeys(store.video_ids)
    gone = [key for key in known if key not in planned]
    if gone:
        raise ExtractionError(
            f"{out}: {len(gone)} of its {len(known)} videos are not here, first {gone[0]}: their files, or their "
            "annotations, are gone; bring them back, give another output, or start again with --overwrite"
        )
    marks, sizes = story.marks(store.provenance), store.provenance.get("sizes", {})
    return {
        key: Encoded(audio[:end], visual[:end], marks.get(key, Marks()), sizes.get(key, 0))
        for key, audio, visual, end in zip(
            store.video_ids, store.audio, store.visual, store.seconds.tolist(), strict=True)
    }


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


def _provenance(plan: Plan, parts: Parts, origin: Mapping[str, Any]) -> dict[str, Any]:
    mine = {video.id: parts.finished[video.id] for video in plan.videos if video.id in parts.finished}
    failed = [*plan.missing, *(parts.failed[video.id] for video in plan.videos if video.id not in mine)]
    sizes = {key: encoded.size for key, encoded in mine.items()}
    return {
        **origin,
        **story.took_part(parts.earlier or [origin["versions"]]),
        "files digest": story.files_digest(sizes),
        "sizes": sizes,
        "failed": [each.record() for each in sorted(failed, key=lambda each: (each.rows, each.id))],
        "incomplete": story.incomplete(mine),
    }


def assemble(plan: Plan, parts: Parts, record: Mapping[str, Any], text: LabelText | None) -> Features | None:
    """The store's content: an entry for every annotated row in order, or for every file of a plain folder.

    ``None`` where nothing of a shard worked: the other shards may hold something.

    Raises:
        ExtractionError: none of the videos worked.
    """
    there = {video.id: video for video in plan.videos if video.id in parts.finished}
    if not there and plan.shard.count > 1:
        return None
    if not there:
        failed = story.failures(record)
        raise ExtractionError("\n".join([f"none of {len(failed)} videos could be encoded", *listing(failed)]))
    if any(video.rows for video in there.values()):
        rows, keys = zip(*sorted((row, video.id) for video in there.values() for row in video.rows), strict=True)
    else:
        rows, keys = (), tuple(there)
    mine = {key: parts.finished[key] for key in there}
    return Features(
        audio=pad_sequence([mine[key].audio for key in keys], batch_first=True),
        visual=pad_sequence([mine[key].visual for key in keys], batch_first=True),
        video_ids=keys,
        rows=torch.tensor(rows) if rows else None,
        categories=plan.categories,
        label_text=text,
        provenance=dict(record),
        lengths=torch.tensor([len(mine[key].audio) for key in keys]),
    )


def _report(plan: Plan, out: Path, ids: tuple[str, ...], record: Mapping[str, Any], encoded: int) -> Report:
    return Report(
        path=out,
        entries=len(ids),
        videos=len(set(ids)),
        encoded=encoded,
        failed=tuple(story.failures(record)),
        incomplete=story.marks(record),
        unannotated=plan.unannotated,
    )
