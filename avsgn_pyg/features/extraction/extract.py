"""Extract features from videos into a store: finished videos are kept, failures reported, all others processed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from avsgn_pyg.common.errors import DataError, ExtractionError, NothingExtractedError
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder, label_text, without_text
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.contents import (
    Contents,
    read_contents,
    refuse_other_settings,
    settings_of,
    write_contents,
)
from avsgn_pyg.features.extraction.engine import Engine
from avsgn_pyg.features.extraction.progress import Progress, explain_disk_errors, open_progress
from avsgn_pyg.features.extraction.report import Report, describe
from avsgn_pyg.features.extraction.videos import NO_FILE, Plan


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
    origin = config.provenance(plan, *encoders)
    settings = settings_of(origin)
    with open_progress(out, settings, overwrite=config.overwrite, versions=origin["versions"]) as progress:
        _add_store(plan, out, progress, settings)
        # Before the long work, which would be in vain without a tokenizer.
        silent = without_text(*encoders)
        text = None if plan.categories is None or silent else label_text(*encoders, plan.categories, config.prompts)
        encoded = _encode(config, plan, progress, engine)
        found = _contents(plan, progress)
        notes = list(plan.notes)
        if plan.categories is not None and silent:
            notes.append(f"no label text: {' and '.join(silent)} have no text encoder; train with "
                         "model.text.bank=learned")
        if not found.finished and plan.shard.count > 1:
            notes.append("no video of this shard succeeded; the merge takes only its failures")
        lines = [*describe(found, origin["extraction"], notes)]
        if not found.finished and plan.shard.count == 1:
            raise NothingExtractedError("\n".join([f"none of {len(found.failed)} videos could be encoded", *lines]))
        with explain_disk_errors(out):
            write_contents(out, found, found.record(origin), plan.categories, text)
        progress.done = True
    entries = len(found.entries)
    lines.insert(0, f"{len(found.finished)} videos in {entries} entries; encoded now: {encoded}")
    return Report(out, entries, encoded, found.failures, tuple(lines))


def _contents(plan: Plan, progress: Progress) -> Contents:
    """Return what the store will have: the finished videos that the plan has, and all other ids as failures."""
    finished = {video.id: progress.finished[video.id] for video in plan.videos if video.id in progress.finished}
    failed = [*plan.missing, *(progress.failed[video.id] for video in plan.videos if video.id not in finished)]
    return Contents(
        finished=finished, failed={failure.id: failure for failure in failed},
        rows={video.id: video.rows for video in plan.videos}, runs=progress.runs or [dict(progress.versions)],
    )


def _add_store(plan: Plan, out: Path, progress: Progress, settings: Mapping[str, Any]) -> None:
    """Add the content of the existing store; what a later run left in `progress` is newer.

    Raises:
        ExtractionError: it is not a store of these settings, or some of its videos no longer exist.
    """
    if not progress.replace and out.exists():
        try:
            record, found, _ = read_contents(out)
        except DataError as error:
            raise ExtractionError(f"{error}; give another output, or replace it with --overwrite") from None
        refuse_other_settings(out, settings_of(record, out), settings)
        planned = {video.id for video in plan.videos}
        gone = [key for key in found.finished if key not in planned]
        if gone:
            reasons = {failure.id: failure.reason for failure in plan.missing}
            raise ExtractionError(
                f"{out}: {len(gone)} of its {len(found.finished)} videos are missing, first {gone[0]}: "
                f"{reasons.get(gone[0], 'its file or row no longer exists')}; restore them, give another output, or "
                "start again with --overwrite")
        lasting = {key: failure for key, failure in found.failed.items()
                   if failure.reason != NO_FILE and not failure.retryable}
        progress.finished, progress.failed = found.finished | progress.finished, lasting | progress.failed
        if found.finished:
            progress.runs = [*found.runs, *progress.runs]
    progress.failed = {key: failure for key, failure in progress.failed.items() if key not in progress.finished}


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
