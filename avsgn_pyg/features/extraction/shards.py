"""The stores of several machines, joined into the one that a single process would have written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from avsgn_pyg.data.feature_store import Features, read_store, write_store
from avsgn_pyg.features.extraction import provenance as story
from avsgn_pyg.features.extraction.empty import read_empty
from avsgn_pyg.features.extraction.jobs import WHOLE, ExtractionError, Failed
from avsgn_pyg.features.extraction.parts import refuse_other_settings
from avsgn_pyg.features.extraction.report import listing
from avsgn_pyg.features.extraction.whole import cannot_write
from avsgn_pyg.features.files import check_shards


@dataclass(frozen=True)
class Merge:
    """What a merge came to.

    Attributes:
        path: the joined store.
        entries: its rows.
        shards: how many were joined, of how many.
        failed: videos that are in none.
        empty: shards in which nothing worked.
    """

    path: Path
    entries: int
    shards: tuple[int, int]
    failed: tuple[Failed, ...]
    empty: tuple[Path, ...] = ()

    def table(self) -> str:
        """In lines for a reader."""
        joined, count = self.shards
        return "\n".join(
            [f"{joined} of {count} shards joined: {self.entries} entries; failed: {len(self.failed)}",
             *(f"nothing worked in {path}" for path in self.empty), *listing(self.failed)]
        )


def merge(out: str | Path, shards: Sequence[str | Path], *, overwrite: bool = False) -> Merge:
    """Join the stores that ``--shard`` wrote; rows come in the order of the annotations, else by id.

    Raises:
        ExtractionError: `out` is there already; a store is not a shard, or of another extraction (other encoders,
            settings, videos, prompts or classes); a shard is missing, or there twice; nothing worked in any.
        DataError: a file is no store.
    """
    out, paths = Path(out), [Path(path) for path in shards]
    if not paths:
        raise ExtractionError("no shards to join; name the files that --shard wrote")
    check_shards(out, paths, overwrite)
    empty = {path: record for path in paths if (record := read_empty(path)) is not None}
    stores = {path: read_store(path) for path in paths if path not in empty}
    records = [stores[path].provenance if path in stores else empty[path] for path in paths]
    count = _refuse_strangers(paths, records)
    _refuse_other_classes(stores)
    if not stores:
        raise ExtractionError(f"nothing worked in any of {len(paths)} shards; there is nothing to join")
    features = join(list(stores.values()), records)
    try:
        write_store(out, features)
    except OSError as error:
        raise cannot_write(out, error) from None
    failed = tuple(story.failures(features.provenance))
    return Merge(out, len(features.video_ids), (len(paths), count), failed, tuple(empty))


def join(stores: Sequence[Features], records: Sequence[Mapping[str, Any]]) -> Features:
    """The entries of all stores in one; what the first says of classes and encoders is true of all.

    Args:
        records: provenance of these stores, and of shards without one.
    """
    first = stores[0]
    ids = [key for store in stores for key in store.video_ids]
    rows = None if first.rows is None else torch.cat([store.rows for store in stores])
    order = sorted(range(len(ids)), key=(lambda at: ids[at]) if rows is None else rows.tolist().__getitem__)
    longest = max(store.audio.shape[1] for store in stores)
    audio, visual = (
        torch.cat([F.pad(rows, (0, 0, 0, longest - rows.shape[1])) for rows in parts])[order]
        for parts in ([store.audio for store in stores], [store.visual for store in stores])
    )
    return replace(
        first,
        audio=audio,
        visual=visual,
        lengths=torch.cat([store.seconds for store in stores])[order],
        video_ids=tuple(ids[at] for at in order),
        rows=None if rows is None else rows[order],
        provenance=_joined(records),
    )


def _joined(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    failed, incomplete = ([each for record in records for each in record[key]] for key in ("failed", "incomplete"))
    return {
        **records[0],
        **story.took_part(each for record in reversed(records) for each in story.versions(record)),
        "sizes": {key: size for record in records for key, size in record["sizes"].items()},
        "extraction": {**records[0]["extraction"], "shard": list(WHOLE)},
        "files digest": story.added(record["files digest"] for record in records),
        "failed": sorted(failed, key=lambda each: (each["rows"], each["id"])),
        "incomplete": sorted(incomplete, key=lambda each: each["id"]),
    }


def _refuse_other_classes(stores: Mapping[Path, Features]) -> None:
    """One bank goes into the joined store, so all must have it."""
    what = {path: (store.categories, store.label_text is not None) for path, store in stores.items()}
    for path, classes in what.items():
        first = next(iter(what))
        if classes != what[first]:
            raise ExtractionError(
                f"{first} and {path} have other classes ({_told(*what[first])}; {_told(*classes)}); extract all shards "
                "with the same --annotations and --labels"
            )


def _told(categories: Sequence[str] | None, text: bool) -> str:
    names = "none" if categories is None else f"{len(categories)}: {', '.join(categories[:3])}, ..."
    return f"{names} {'with' if text else 'without'} label text"


def _refuse_strangers(paths: Sequence[Path], records: Sequence[Mapping[str, Any]]) -> int:
    """Number of shards, once all are known to be here, each once, and of one extraction."""
    wholes = [_whole(path, record) for path, record in zip(paths, records, strict=True)]
    for path, whole in zip(paths[1:], wholes[1:], strict=True):
        refuse_other_settings(paths[0], wholes[0], whole, hint=f"{path} cannot be joined with it")
    numbers = Counter(record["extraction"]["shard"][0] for record in records)
    count = wholes[0]["shards"]
    twice = [path for path, record in zip(paths, records, strict=True) if numbers[record["extraction"]["shard"][0]] > 1]
    if twice:
        raise ExtractionError(f"{' and '.join(map(str, twice))} are the same shard; give each once")
    missing = [f"{number}/{count}" for number in range(1, count + 1) if number not in numbers]
    if missing:
        raise ExtractionError(f"of {count} shards these are missing: {', '.join(missing)}; extract them, then join all")
    return count


def _whole(path: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What all shards of an extraction share."""
    settings = story.settings(record, path)
    try:
        source, count = record["extraction"]["source"], record["extraction"]["shard"][1]
        return {**settings, **source, "prompts": record["prompts"], "shards": count}
    except (KeyError, IndexError, TypeError) as error:
        raise ExtractionError(f"{path}: its provenance lacks {error}; it is no shard of an extraction") from None
