"""The provenance of a store: enough to repeat it, to reject mixtures, and to rebuild the encoders."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data import h5
from avsgn_pyg.data.feature_store import EXTRACTION, Features, read_store
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.extraction.config import ExtractionConfig
from avsgn_pyg.features.extraction.videos import Failure, Flags, Plan
from avsgn_pyg.features.media import RATE

#: Packages on which the decoded seconds depend.
PACKAGES = ("avsgn_pyg", "torch", "av", "numpy")
EMPTY = "avsgn_pyg empty shard"


def describe(
    config: ExtractionConfig, plan: Plan, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder
) -> dict[str, Any]:
    """Return what is known before the first video is read; JSON-ready."""
    visual, audio = frame_encoder.record(), audio_encoder.record()
    return {
        "made by": EXTRACTION,
        "visual": visual,
        "audio": audio,
        "prompts": dict(config.prompts),
        "label_text": {"visual": frame_encoder.revision, "audio": audio_encoder.revision},
        "extraction": {
            "segments": config.segments * config.rate,
            "segment_seconds": 1 / config.rate,
            "frames_per_segment": config.frames_per_segment,
            "samples_per_second": RATE,
            **({"own_length": True} if config.own_length else {}),
            "source": plan.source,
            "skipped": plan.skipped,
            "shard": list(plan.shard),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            **visual.get("versions", {}),
            **audio.get("versions", {}),
        },
    }


def settings_of(provenance: Mapping[str, Any], where: object = "this") -> dict[str, Any]:
    """Return what a video's features depend on, by name; stores that differ in any of it must not be joined.

    Raises:
        ExtractionError: the provenance, of the store `where`, is not one of :func:`describe`.
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


def versions_of(provenance: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the package versions of every run that encoded for a store, the last run's last."""
    return [*provenance.get("other versions", ()), provenance["versions"]]


def record_versions(runs: Iterable[dict[str, str]]) -> dict[str, Any]:
    """Return the part of a provenance that :func:`versions_of` reads, without repetitions."""
    runs = list(runs)
    *others, last = [run for at, run in enumerate(runs) if run not in runs[at + 1 :]]
    return {"versions": last, **({"other versions": others} if others else {})}


def record_flags(flags: Mapping[str, Flags]) -> list[dict[str, Any]]:
    """Return the unusual videos, by id; JSON-ready."""
    return [{"id": key, **flags[key]._asdict()} for key in sorted(flags) if any(flags[key])]


def flags_of(provenance: Mapping[str, Any]) -> dict[str, Flags]:
    """Return the flags of a store's unusual videos, by id; earlier versions recorded fewer."""
    return {each["id"]: Flags(**{name: each[name] for name in Flags._fields if name in each})
            for each in provenance["incomplete"]}


def failures_of(provenance: Mapping[str, Any]) -> tuple[Failure, ...]:
    """Return the videos that a store records as failed."""
    return tuple(Failure.from_record(each) for each in provenance.get("failed", ()))


def files_digest(sizes: Mapping[str, int]) -> str:
    """Return a digest of the files' ids and sizes, in any order."""
    digests = (hashlib.sha256(f"{key}\n{size}".encode()).hexdigest()[:32] for key, size in sizes.items())
    return f"{sum(int(digest, 16) for digest in digests) % 2**128:032x}"


def write_empty(path: Path, provenance: Mapping[str, Any]) -> None:
    """Write a file for a shard without a successful video, instead of a store, so that the merge finds its failures."""
    h5.write(path, {}, {"format": EMPTY, "provenance": json.dumps(provenance)})


def read_shard(path: Path) -> tuple[dict[str, Any], Features | None]:
    """Return provenance and content of a store, or of a file of :func:`write_empty`, which has no content.

    Raises:
        DataError: no such file, or not a store.
    """
    with h5.opened(path) as file:
        if h5.text_attribute(file, "format") == EMPTY:
            return h5.read_provenance(path, file), None
    store = read_store(path)
    return store.provenance, store
