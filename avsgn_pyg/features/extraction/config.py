"""The settings of an extraction, from which the plan, the encoders and the engine are made."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from avsgn_pyg.common.errors import ExtractionError
from avsgn_pyg.data.ave import read_annotations
from avsgn_pyg.data.feature_store import EXTRACTION
from avsgn_pyg.features.choice import EncoderChoice, Kind
from avsgn_pyg.features.encoder import PROMPTS, AudioEncoder, FrameEncoder, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.extraction.engine import LocalEngine
from avsgn_pyg.features.extraction.read import Reader
from avsgn_pyg.features.extraction.videos import Plan, make_plan
from avsgn_pyg.features.files import Shard, read_ids, read_labels
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.features.media import RATE

#: Packages on which the decoded seconds depend.
PACKAGES = ("avsgn_pyg", "torch", "av", "numpy")


@dataclass(frozen=True, kw_only=True)
class ExtractionConfig:
    """What to extract, from what, with what; ``tools/extract_features.py --help`` explains the fields.

    Attributes:
        download: let the encoders fetch weights that are not on this machine.
        segments: seconds of each video.
        rate: features a second.
        workers: reading processes; ``None``: number of cores - 1, at most 16; 0 reads in this process.
        ids: a file of ids, or a table of ids and the seconds at which they start in their files.
        limits: on reading one file.
        prompts: templates of the label text, for ``visual`` and ``audio``.

    Raises:
        ExtractionError: fewer than one segment, frame per segment, or segment a second.
    """

    videos: Path
    out: Path
    visual: EncoderChoice
    audio: EncoderChoice
    annotations: Path | None = None
    labels: Path | None = None
    ids: Path | None = None
    segments: int = 10
    frames_per_segment: int = 1
    rate: int = 1
    own_length: bool = False
    download: bool = False
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 64
    workers: int | None = None
    engine: str = "processes"
    actors: int = 1
    shard: str = "1/1"
    overwrite: bool = False
    retry_failed: bool = False
    progress: bool = True
    limits: Limits = field(default_factory=Limits)
    prompts: Mapping[str, str] = field(default_factory=lambda: PROMPTS)

    def __post_init__(self) -> None:
        for name in ("segments", "frames_per_segment", "rate"):
            if getattr(self, name) < 1:
                raise ExtractionError(f"{name}={getattr(self, name)}: must be 1 or more")

    def plan(self) -> Plan:
        """Return the videos to encode; DataError for folders, annotations or labels that cannot be used."""
        names, shard = None if self.labels is None else read_labels(self.labels), Shard.parse(self.shard)
        annotations = None if self.annotations is None else read_annotations(self.annotations, self.segments, names)
        starts = None if self.ids is None else read_ids(self.ids)
        return make_plan(self.videos, annotations, categories=names, shard=shard, starts=starts)

    def choice(self, kind: Kind) -> EncoderChoice:
        """Return the choice of one encoder, with permission to download its weights if it was given."""
        choice: EncoderChoice = getattr(self, kind)
        fetch = {"download": True} if self.download and choice.name != "signal" else {}
        return EncoderChoice(choice.name, {**choice.options, **fetch})

    @property
    def placement(self) -> dict[str, Any]:
        """Where and how encoders compute."""
        return {"device": self.device, "precision": self.precision, "batch_size": self.batch_size}

    def encoders(self) -> tuple[FrameEncoder, AudioEncoder]:
        """Return the frame encoder and the audio encoder; EncoderError if they cannot be made.

        Of a cluster, whose actors have their own, they serve for descriptions and class names: on the CPU, except
        in fp16, which it lacks.
        """
        where = self.placement | ({"device": "cpu"} if self.engine == "ray" and self.precision != "fp16" else {})
        return make_frame_encoder(self.choice("visual"), **where), make_audio_encoder(self.choice("audio"), **where)

    def provenance(self, plan: Plan, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder) -> dict[str, Any]:
        """Return what is known before the first video is read; JSON-ready."""
        visual, audio = frame_encoder.record(), audio_encoder.record()
        return {
            "made by": EXTRACTION,
            "visual": visual,
            "audio": audio,
            "prompts": dict(self.prompts),
            "label_text": {"visual": frame_encoder.revision, "audio": audio_encoder.revision},
            "extraction": {
                "segments": self.segments * self.rate,
                "segment_seconds": 1 / self.rate,
                "frames_per_segment": self.frames_per_segment,
                "samples_per_second": RATE,
                **({"own_length": True} if self.own_length else {}),
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

    def make_engine(self, frame_encoder: FrameEncoder, audio_encoder: AudioEncoder) -> Any:
        """Return a LocalEngine or a RayEngine; ExtractionError if it cannot be used."""
        reader = Reader(self.segments, self.frames_per_segment, frame_encoder.preparation, self.own_length,
                        self.limits, self.rate)
        if self.engine == "processes":
            return LocalEngine(frame_encoder, audio_encoder, reader, self.workers)
        from avsgn_pyg.features.extraction.cluster import RayEngine

        return RayEngine((self.choice("visual"), self.choice("audio")), self.placement, reader, self.actors)
