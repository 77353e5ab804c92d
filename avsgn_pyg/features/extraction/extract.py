"""Extract features from videos into a store: finished videos are kept, failures reported, all others processed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from avsgn_pyg.common.errors import DataError, ExtractionError, NothingExtractedError
from avsgn_pyg.data.feature_store import Features, LabelText, write_store
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder, label_text, without_text
from avsgn_pyg.features.extraction import provenance
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.engine import Engine
from avsgn_pyg.features.extraction.progress import (
    Encoded,
    Progress,
    explain_disk_errors,
    open_progress,
    refuse_other_settings,
)
from avsgn_pyg.features.extraction.report import Report, describe
from avsgn_pyg.features.extraction.videos import NO_FILE, Flags, Plan

#: Row (``None`` without annotations), id, audio [T, da] and visual [T, dv] features.
Entry = tuple[int | None, str, Tensor, Tensor]


def run_extraction(
    config: ExtractionConfig, *, plan: Plan | None = None, encoders: tuple[FrameEncoder, AudioEncoder] | None = None,
    engine: Engine | None = None,
) -> Report:
    """Encode every video that the store lacks, and write the store.

    A run that ends early, for any reason, leaves ``<out>.parts/``, from which the next run resumes. An existing store
    is extended by what it lacks. Permanent failures are retried if the size of the file has changed, or with
    ``retry_failed``.

    Args:
        config: the settings; with a shard, the store's name gets the shard's number.
        plan, encoders, engine: instead of those that `config` makes.

    Raises:
        ExtractionError: the existing store was made with other settings, or from files that no longer exist; a file
            cannot be written; another process is extracting to the same store.
        NothingExtractedError: no video succeeded (a shard is then written for the merge instead).
        DataError: videos, annotations or encoders that cannot be used.
    """
    plan, encoders = plan or config.plan(), encoders or config.encoders()
    engine, out = engine or config.make_engine(*encoders).run, plan.shard.name(config.out)
    origin = provenance.describe(config, plan, *encoders)
    settings = provenance.settings_of(origin)
    with open_progress(out, settings, overwrite=config.overwrite, versions=origin["versions"]) as progress:
        _add_store(plan, out, progress, settings)
        # Before the long work, which would be in vain without a tokenizer.
        silent = without_text(*encoders)
        text = None if plan.categories is None or silent else label_text(*encoders, plan.categories, config.prompts)
        encoded = _encode(config, plan, progress, engine)
        record = _record(plan, progress, origin)
        entries = _entries(plan, progress)
        if not entries and plan.shard.count == 1:
            raise NothingExtractedError("\n".join([f"none of {len(record['failed'])} videos could be encoded",
                                                   *describe(record, plan.notes)]))
        with explain_disk_errors(out):
            if entries:
                write_store(out, assemble(entries, record, plan.categories, text))
            else:
                provenance.write_empty(out, record)
        progress.done = True
    empty = () if entries else ("no video of this shard succeeded; the merge takes only its failures",)
    if plan.categories is not None and silent:
        empty += (f"no label text: {' and '.join(silent)} have no text encoder; train with model.text.bank=learned",)
    lines = (f"{len({entry[1] for entry in entries})} videos in {len(entries)} entries; encoded now: {encoded}",
             *describe(record, (*plan.notes, *empty)))
    return Report(out, len(entries), encoded, provenance.failures_of(record), lines)


def _add_store(plan: Plan, out: Path, progress: Progress, settings: Mapping[str, Any]) -> None:
    """Add the content of the existing store; what a later run left in `progress` is newer.

    Raises:
        ExtractionError: it is not a store of these settings, or some of its videos no longer exist.
    """
    if not progress.replace and out.exists():
        try:
            record, store = provenance.read_shard(out)
        except DataError as error:
            raise ExtractionError(f"{error}; give another output, or replace it with --overwrite") from None
        refuse_other_settings(out, provenance.settings_of(record, out), settings)
        progress.finished = ({} if store is None else _finished(plan, out, store)) | progress.finished
        lasting = {failure.id: failure for failure in provenance.failures_of(record)
                   if failure.reason != NO_FILE and not failure.retryable}
        progress.failed = lasting | progress.failed
        if store is not None:
            progress.earlier = [*provenance.versions_of(record), *progress.earlier]
    progress.failed = {key: failure for key, failure in progress.failed.items() if key not in progress.finished}


def _finished(plan: Plan, out: Path, store: Features) -> dict[str, Encoded]:
    """Return the videos of a store, with the sizes of their files; ExtractionError if a file no longer exists."""
    planned, known = {video.id for video in plan.videos}, dict.fromkeys(store.video_ids)
    gone = [key for key in known if key not in planned]
    if gone:
        why = {failure.id: failure.reason for failure in plan.missing}.get(gone[0], "its file or row no longer exists")
        raise ExtractionError(f"{out}: {len(gone)} of its {len(known)} videos are missing, first {gone[0]}: {why}; "
                              "restore them, give another output, or start again with --overwrite")
    flags, sizes = provenance.flags_of(store.provenance), store.provenance.get("sizes", {})
    rows = zip(store.video_ids, store.audio, store.visual, store.seconds.tolist(), strict=True)
    return {key: Encoded(audio[:end], visual[:end], flags.get(key, Flags()), sizes.get(key, 0))
            for key, audio, visual, end in rows}


def _encode(config: ExtractionConfig, plan: Plan, progress: Progress, engine: Engine) -> int:
    """Encode what is lacking and return how many videos; results are on disk before the next are requested."""
    todo = [video for video in plan.videos if progress.lacks(video, config.retry_failed)]
    encoded, total = 0, len(plan.videos)
    if not todo:
        return 0
    with (
        closing(engine(todo)) as found,
        tqdm(total=total, initial=total - len(todo), desc="extract", unit="video", dynamic_ncols=True,
             disable=not config.progress) as bar,
    ):
        for results in found:
            progress.add(results)
            encoded += sum(key in progress.finished for key in results)
            bar.set_postfix(failed=len(progress.failed))
            bar.update(len(results))
    return encoded


def _record(plan: Plan, progress: Progress, origin: Mapping[str, Any]) -> dict[str, Any]:
    finished = {video.id: progress.finished[video.id] for video in plan.videos if video.id in progress.finished}
    failed = [*plan.missing, *(progress.failed[video.id] for video in plan.videos if video.id not in finished)]
    sizes = {key: encoded.size for key, encoded in finished.items()}
    return {
        **origin,
        **provenance.record_versions(progress.earlier or [origin["versions"]]),
        "files digest": provenance.files_digest(sizes),
        "sizes": sizes,
        "failed": [failure.record() for failure in sorted(failed, key=lambda failure: (failure.rows, failure.id))],
        "incomplete": provenance.record_flags({key: encoded.flags for key, encoded in finished.items()}),
    }


def _entries(plan: Plan, progress: Progress) -> list[Entry]:
    """Return an entry for every annotated row with features, or for every file of a plain folder."""
    found = [(video, progress.finished[video.id]) for video in plan.videos if video.id in progress.finished]
    return [(row, video.id, encoded.audio, encoded.visual) for video, encoded in found for row in video.rows or (None,)]


def assemble(
    entries: Sequence[Entry], record: Mapping[str, Any], categories: tuple[str, ...] | None, text: LabelText | None
) -> Features:
    """Return a store's content, in the order of the rows, or of the ids without rows."""
    rows, keys, audio, visual = zip(*sorted(entries, key=lambda entry: entry[:2]), strict=True)
    return Features(
        audio=pad_sequence(audio, batch_first=True),
        visual=pad_sequence(visual, batch_first=True),
        video_ids=keys,
        rows=None if None in rows else torch.tensor(rows),
        categories=categories,
        label_text=text,
        provenance=dict(record),
        lengths=torch.tensor([len(seconds) for seconds in audio]),
    )
