"""Join the stores of several shards into the one that a single process would have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.features.extraction.contents import (
    Contents,
    read_contents,
    refuse_other_settings,
    settings_of,
    write_contents,
)
from avsgn_pyg.features.extraction.progress import explain_disk_errors
from avsgn_pyg.features.extraction.report import Report, describe
from avsgn_pyg.features.files import Shard, check_shards


def merge(out: str | Path, shards: Sequence[str | Path], *, overwrite: bool = False) -> Report:
    """Join the stores that ``--shard`` wrote; rows are in the order of the annotations, else by id.

    Raises:
        ExtractionError: `out` exists; a store is not a shard, or is of another extraction (other encoders, settings,
            videos, prompts or classes); a shard is missing, or given twice; no video worked in any.
        DataError: a file is not a store.
    """
    out, paths = Path(out), [Path(path) for path in shards]
    if not paths:
        raise ExtractionError("no shards to join; name the files that --shard wrote")
    check_shards(out, paths, overwrite)
    records, found, stores = zip(*map(read_contents, paths), strict=True)
    _refuse_differences(paths, [_identity(path, record) for path, record in zip(paths, records, strict=True)],
                        "{} cannot be joined with it")
    classes = {path: {"classes": store.categories, "label text": store.label_text is not None}
               for path, store in zip(paths, stores, strict=True) if store is not None}
    _refuse_differences([*classes], [*classes.values()],
                        "extract {} and all others with the same --annotations and --labels")
    _refuse_incomplete(paths, [record["extraction"]["shard"] for record in records])
    first = next((store for store in stores if store is not None), None)
    if first is None:
        raise ExtractionError(f"no video succeeded in any of {len(paths)} shards; there is nothing to join")
    joined = Contents(runs=[run for each in reversed(found) for run in each.runs])
    for each in found:
        joined.finished |= each.finished
        joined.failed |= each.failed
        joined.rows |= each.rows
    extraction = {**records[0]["extraction"], "shard": list(Shard())}
    with explain_disk_errors(out):
        write_contents(out, joined, joined.record({**records[0], "extraction": extraction}), first.categories,
                       first.label_text)
    entries, notes = len(joined.entries), [f"no video succeeded in {path}" for path in paths if path not in classes]
    lines = (f"{len(paths)} of {len(paths)} shards joined: {entries} entries", *describe(joined, extraction, notes))
    return Report(out, entries, 0, joined.failures, lines)


def _identity(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all shards of an extraction share."""
    settings = settings_of(record, path)
    try:
        source, (_, count) = record["extraction"]["source"], record["extraction"]["shard"]
        return {**settings, **source, "prompts": record["prompts"], "shards": count}
    except (KeyError, ValueError, TypeError) as error:
        raise ExtractionError(f"{path}: its provenance lacks {error}; it is not a shard of an extraction") from None


def _refuse_differences(paths: Sequence[Path], settings: Sequence[Mapping[str, Any]], hint: str) -> None:
    for path, other in zip(paths[1:], settings[1:], strict=True):
        refuse_other_settings(paths[0], settings[0], other, hint.format(path))


def _refuse_incomplete(paths: Sequence[Path], shards: Sequence[Sequence[int]]) -> None:
    numbers, count = Counter(number for number, _ in shards), shards[0][1]
    twice = [path for path, (number, _) in zip(paths, shards, strict=True) if numbers[number] > 1]
    if twice:
        raise ExtractionError(f"{' and '.join(map(str, twice))} are the same shard; name each shard once")
    missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in numbers]
    if missing:
        raise ExtractionError(f"of {count} shards these are missing: {', '.join(missing)}; extract them, then join all")
