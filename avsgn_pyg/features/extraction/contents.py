"""The content of a store: finished videos, failures, and the packages that made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data import h5
from avsgn_pyg.data.feature_store import Features, LabelText, read_store, write_store
from avsgn_pyg.features.extraction.videos import Failure, Flags

#: Format of the file of a shard without a successful video; the merge reads only its failures.
EMPTY: Final = "avsgn_pyg empty shard"


@dataclass(frozen=True)
class Encoded:
    """A finished video: features of its seconds, what was padded, and the file's bytes."""

    audio: Float[Tensor, "T da"]
    visual: Float[Tensor, "T dv"]
    flags: Flags
    size: int


@dataclass(kw_only=True)
class Contents:
    """What one or more extractions have finished.

    Attributes:
        finished, failed: by id.
        rows: annotated rows of an id; empty without annotations.
        runs: package versions of every run that finished something; those of the last run are last.
    """

    finished: dict[str, Encoded] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)
    rows: dict[str, tuple[int, ...]] = field(default_factory=dict)
    runs: list[dict[str, str]] = field(default_factory=list)

    @property
    def entries(self) -> list[tuple[int | None, str]]:
        """Row and id of every entry of a store, in its order: an id has one for each of its rows."""
        return sorted((row, key) for key in self.finished for row in self.rows.get(key) or (None,))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The failures in the order of the rows, or of the ids without rows."""
        return tuple(sorted(self.failed.values(), key=lambda failure: (failure.rows, failure.id)))

    def record(self, origin: Mapping[str, Any]) -> dict[str, Any]:
        """Return a provenance: `origin`, and what is known of all videos; JSON-ready."""
        *others, last = [run for at, run in enumerate(self.runs) if run not in self.runs[at + 1 :]]
        sizes = {key: encoded.size for key, encoded in self.finished.items()}
        return {
            **origin, "versions": last, **({"other versions": others} if others else {}),
            "files digest": files_digest(sizes), "sizes": sizes,
            "failed": [failure.record() for failure in self.failures],
            "incomplete": [{"id": key, **encoded.flags._asdict()} for key, encoded in sorted(self.finished.items())
                           if any(encoded.flags)],
        }


def files_digest(sizes: Mapping[str, int]) -> str:
    """Return a digest of the files' ids and sizes, in any order."""
    digests = (hashlib.sha256(f"{key}\n{size}".encode()).hexdigest()[:32] for key, size in sizes.items())
    return f"{sum(int(digest, 16) for digest in digests) % 2**128:032x}"


def write_contents(
    out: Path, found: Contents, record: dict[str, Any], categories: Sequence[str] | None, text: LabelText | None
) -> None:
    """Write a store, in the order of the rows, or of the ids without rows; without a video, only the `record`."""
    if not found.finished:
        h5.write(out, {}, {"format": EMPTY, "provenance": json.dumps(record)})
        return
    rows, keys = zip(*found.entries, strict=True)
    audio = [found.finished[key].audio for key in keys]
    write_store(out, Features(
        audio=pad_sequence(audio, batch_first=True),
        visual=pad_sequence([found.finished[key].visual for key in keys], batch_first=True),
        video_ids=keys, rows=None if None in rows else torch.tensor(rows), categories=categories, label_text=text,
        provenance=record, lengths=torch.tensor([len(seconds) for seconds in audio]),
    ))


def read_contents(path: Path) -> tuple[dict[str, Any], Contents, Features | None]:
    """Return provenance and content of a store, and the store itself unless it has no video.

    Raises:
        DataError: no such file, or not a store that an extraction wrote.
    """
    store = None
    with h5.opened(path) as file:
        empty = h5.text_attribute(file, "format") == EMPTY
        record = h5.read_provenance(path, file) if empty else {}
    if not empty:
        store = read_store(path)
        record = store.provenance
    settings_of(record, path)
    failed = {each["id"]: Failure.from_record(each) for each in record.get("failed", ())}
    found = Contents(failed=failed, runs=[*record.get("other versions", ()), record["versions"]])
    if store is None:
        return record, found, None
    # Earlier versions recorded fewer flags.
    flags = {each["id"]: Flags(**{name: each[name] for name in Flags._fields if name in each})
             for each in record["incomplete"]}
    sizes = record.get("sizes", {})
    for key, audio, visual, end in zip(store.video_ids, store.audio, store.visual, store.seconds.tolist(), strict=True):
        found.finished[key] = Encoded(audio[:end], visual[:end], flags.get(key, Flags()), sizes.get(key, 0))
    for key, row in zip(store.video_ids, () if store.rows is None else store.rows.tolist(), strict=False):
        found.rows[key] = (*found.rows.get(key, ()), row)
    return record, found, store


def settings_of(provenance: Mapping[str, Any], where: object = "this") -> dict[str, Any]:
    """Return what a video's features depend on, by name; stores that differ in any of these must not be joined.

    Raises:
        ExtractionError: the provenance, of the store `where`, was not written by an extraction.
    """
    keys = ("segments", "segment_seconds", "frames_per_segment", "samples_per_second")
    try:
        extraction = provenance["extraction"]
        encoders = {f"{kind} {key}": provenance[kind].get(key)
                    for kind in ("visual", "audio") for key in ("name", "revision", "precision")}
        own_length = {"own_length": True} if extraction.get("own_length") else {}
        return encoders | {key: extraction[key] for key in keys} | own_length
    except (KeyError, TypeError, AttributeError) as error:
        raise ExtractionError(
            f"{where}: its features were not made by tools/extract_features.py (its provenance lacks {error})"
        ) from None


def refuse_other_settings(
    where: Path, found: Mapping[str, Any], wanted: Mapping[str, Any],
    hint: str = "use those settings, give another output, or start again with --overwrite",
) -> None:
    """Raise ExtractionError, with `hint`, that lists the settings `found` at `where` that differ from `wanted`."""
    differing = [key for key in {**found, **wanted} if found.get(key) != wanted.get(key)]
    if differing:
        shown = "; ".join(f"{key}: {_short(found.get(key))} there, {_short(wanted.get(key))} now" for key in differing)
        raise ExtractionError(f"{where}: made with other settings ({shown}); {hint}")


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"{len(value)}: {', '.join(map(str, value[:3]))}, ..."
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{text[:12]}…" if len(text) == 64 else text
