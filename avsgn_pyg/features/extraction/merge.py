"""Join the stores of several shards into the one that a single process would have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data.feature_store import Features, write_store
from avsgn_pyg.features.extraction import provenance
from avsgn_pyg.features.extraction.extract import assemble
from avsgn_pyg.features.extraction.progress import explain_disk_errors, refuse_other_settings
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
    records, contents = zip(*map(provenance.read_shard, paths), strict=True)
    stores = {path: store for path, store in zip(paths, contents, strict=True) if store is not None}
    _refuse_differences(paths, [_identity(path, record) for path, record in zip(paths, records, strict=True)],
                        "{} cannot be joined with it")
    _refuse_differences(list(stores), [_classes(store) for store in stores.values()],
                        "extract {} and all others with the same --annotations and --labels")
    _refuse_incomplete(paths, [record["extraction"]["shard"] for record in records])
    if not stores:
        raise ExtractionError(f"no video succeeded in any of {len(paths)} shards; there is nothing to join")
    first = next(iter(stores.values()))
    features = assemble([entry for store in stores.values() for entry in _entries(store)], _join(records),
                        first.categories, first.label_text)
    with explain_disk_errors(out):
        write_store(out, features)
    failures = provenance.failures_of(features.provenance)
    entries, empty = len(features.video_ids), [path for path in paths if path not in stores]
    lines = (f"{len(paths)} of {len(paths)} shards joined: {entries} entries",
             *describe(features.provenance, [f"no video succeeded in {path}" for path in empty]))
    return Report(out, entries, 0, failures, lines)


def _entries(store: Features) -> list[tuple[int | None, str, Any, Any]]:
    rows = [None] * len(store.video_ids) if store.rows is None else store.rows.tolist()
    ends = store.seconds.tolist()
    return [(row, key, audio[:end], visual[:end]) for row, key, audio, visual, end
            in zip(rows, store.video_ids, store.audio, store.visual, ends, strict=True)]


def _join(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    failed, incomplete = ([each for record in records for each in record[key]] for key in ("failed", "incomplete"))
    sizes = {key: size for record in records for key, size in record["sizes"].items()}
    return {
        **records[0],
        **provenance.record_versions(run for record in reversed(records) for run in provenance.versions_of(record)),
        "sizes": sizes,
        "extraction": {**records[0]["extraction"], "shard": list(Shard())},
        "files digest": provenance.files_digest(sizes),
        "failed": sorted(failed, key=lambda each: (each["rows"], each["id"])),
        "incomplete": sorted(incomplete, key=lambda each: each["id"]),
    }


def _identity(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all shards of an extraction share."""
    settings = provenance.settings_of(record, path)
    try:
        source, (_, count) = record["extraction"]["source"], record["extraction"]["shard"]
        return {**settings, **source, "prompts": record["prompts"], "shards": count}
    except (KeyError, ValueError, TypeError) as error:
        raise ExtractionError(f"{path}: its provenance lacks {error}; it is not a shard of an extraction") from None


def _classes(store: Features) -> dict[str, Any]:
    return {"classes": store.categories, "label text": store.label_text is not None}


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
