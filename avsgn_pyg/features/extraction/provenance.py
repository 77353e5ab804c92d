"""What a store says of how it was made: enough to make it again, to refuse a mixture, to rebuild the encoders."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from avsgn_pyg.data.sources import EXTRACTION
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder
from avsgn_pyg.features.extraction.jobs import NO_FILE, ExtractionError, Failed, Marks, Plan
from avsgn_pyg.features.extraction.parts import Encoded
from avsgn_pyg.features.media import RATE

#: Packages that decide what is read of a file.
PACKAGES = ("avsgn_pyg", "torch", "av", "numpy")


def describe(
    plan: Plan,
    frame_encoder: FrameEncoder,
    audio_encoder: AudioEncoder,
    *,
    segments: int,
    frames_per_segment: int,
    own_length: bool = False,
    prompts: Mapping[str, str],
) -> dict[str, Any]:
    """All that is known before the first video is read; JSON-ready."""
    return {
        "made by": EXTRACTION,
        "visual": frame_encoder.record(),
        "audio": audio_encoder.record(),
        "prompts": dict(prompts),
        "label_text": {"visual": frame_encoder.revision, "audio": audio_encoder.revision},
        "extraction": {
            "segments": segments,
            "segment_seconds": 1.0,
            "frames_per_segment": frames_per_segment,
            "samples_per_second": RATE,
            **({"own_length": True} if own_length else {}),
            "source": plan.source,
            "shard": list(plan.shard),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
            **{name: number for each in (frame_encoder, audio_encoder) for name, number in _versions(each.record())},
        },
    }


def _versions(record: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    return record.get("versions", {}).items()


def versions(provenance: Mapping[str, Any]) -> list[dict[str, str]]:
    """Those of every run that encoded for a store, the last one's last."""
    return [*provenance.get("other versions", ()), provenance["versions"]]


def took_part(found: Iterable[dict[str, str]]) -> dict[str, Any]:
    """How a store says whose versions made it: the last run's, and all others by which earlier ones differ."""
    found = list(found)
    *others, last = [each for at, each in enumerate(found) if each not in found[at + 1 :]]
    return {"versions": last, **({"other versions": others} if others else {})}


def settings(provenance: Mapping[str, Any], where: object = "this") -> dict[str, Any]:
    """What the features of a video depend on, by name; stores that differ in any of it must not be joined.

    Raises:
        ExtractionError: the provenance, of the store `where`, is not one of :func:`describe`.
    """
    try:
        extraction = provenance["extraction"]
        return {
            **{
                f"{kind} {key}": provenance[kind].get(key)
                for kind in ("visual", "audio")
                for key in ("name", "revision", "precision")
            },
            **{
                key: extraction[key]
                for key in ("segments", "segment_seconds", "frames_per_segment", "samples_per_second")
            },
            **({"own_length": True} if extraction.get("own_length") else {}),
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ExtractionError(
            f"{where}: its features were not made by tools/extract_features.py (its provenance lacks {error})"
        ) from None


def incomplete(finished: Mapping[str, Encoded]) -> list[dict[str, Any]]:
    """Videos that were padded, by id, with what they lack; JSON-ready."""
    return [{"id": key, **finished[key].marks._asdict()} for key in sorted(finished) if any(finished[key].marks)]


def marks(provenance: Mapping[str, Any]) -> dict[str, Marks]:
    """What :func:`incomplete` says, by id."""
    return {each["id"]: Marks(*(each[name] for name in Marks._fields)) for each in provenance["incomplete"]}


def files_digest(sizes: Mapping[str, int]) -> str:
    """A digest of ids and sizes of files: a sum, so that those of shards add up to that of the whole."""
    each = (hashlib.sha256(f"{key}\n{size}".encode()).digest()[:16] for key, size in sizes.items())
    return f"{sum(int.from_bytes(part, 'big') for part in each) % 2**128:032x}"


def added(digests: Iterable[str]) -> str:
    """The digest of all the files of several."""
    return f"{sum(int(digest, 16) for digest in digests) % 2**128:032x}"


def failures(provenance: Mapping[str, Any]) -> list[Failed]:
    """The videos that a store says it lacks."""
    return [Failed.of(each) for each in provenance.get("failed", ())]


def kept_failures(failed: Iterable[Failed]) -> dict[str, Failed]:
    """Those that a later run need not try again; it does where a file has turned up, or the reason may be gone."""
    return {each.id: each for each in failed if each.reason != NO_FILE and not each.passing}
