"""An extraction as a user orders it: one value from a command line, from which plan, encoders and engine are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avsgn_pyg.data.ave import read_annotations
from avsgn_pyg.features.choice import OPTIONS, EncoderChoice, Kind
from avsgn_pyg.features.encoder import AudioEncoder, FrameEncoder, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.extraction.engine import Engine
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import ExtractionError, Plan, plan_annotated, plan_folder
from avsgn_pyg.features.extraction.report import Report
from avsgn_pyg.features.extraction.verify import Check, verify
from avsgn_pyg.features.files import Shard, read_labels


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be extracted, from what, with what; fields as ``tools/extract_features.py --help`` explains them.

    Attributes:
        visual_options, audio_options: further options of the encoders, as ``KEY=VALUE``.
        download: let the encoders fetch weights that are not on this machine.
    """

    videos: Path
    out: Path
    annotations: Path | None = None
    labels: Path | None = None
    segments: int = 10
    frames_per_segment: int = 1
    own_length: bool = False
    visual: str = "clip"
    audio: str = "clap"
    visual_model: str | None = None
    visual_weights: str | None = None
    audio_model: str | None = None
    audio_weights: str | None = None
    tokenizer: str | None = None
    audio_pass: str | None = None
    visual_options: Sequence[str] = ()
    audio_options: Sequence[str] = ()
    download: bool = False
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 64
    workers: int | None = None
    engine: str = "processes"
    shard: str = "1/1"
    overwrite: bool = False
    retry_failed: bool = False
    actors: int = 1
    progress: bool = True

    def plan(self) -> Plan:
        """Which videos; DataError as of :mod:`avsgn_pyg.features.extraction.jobs` and of reading the annotations."""
        names, shard = None if self.labels is None else read_labels(self.labels), Shard.parse(self.shard)
        if self.annotations is None:
            return plan_folder(self.videos, names, shard)
        return plan_annotated(self.videos, read_annotations(self.annotations, self.segments, names), shard)

    def choice(self, kind: Kind) -> EncoderChoice:
        """The encoder of one modality; EncoderError where an option is no ``KEY=VALUE``."""
        words = {"visual": self.visual_options, "audio": self.audio_options}[kind]
        choice = EncoderChoice.parse({"visual": self.visual, "audio": self.audio}[kind], words)
        named = {key: getattr(self, word.replace("-", "_")) for word, (of, key, _) in OPTIONS.items() if of == kind}
        options = {key: value for key, value in named.items() if value is not None}
        fetch = {"download": True} if self.download and choice.name != "signal" else {}
        return EncoderChoice(choice.name, {**choice.options, **options, **fetch})

    def encoders(self) -> tuple[FrameEncoder, AudioEncoder]:
        """Both encoders; EncoderError where they cannot be made."""
        where = self.describing() if self.engine == "ray" else self._placement()
        return make_frame_encoder(self.choice("visual"), **where), make_audio_encoder(self.choice("audio"), **where)

    def describing(self) -> dict[str, Any]:
        """Placement of encoders beside a cluster, whose actors have their own.

        Here they only say what they are and read the class names: the CPU is enough, but for fp16.
        """
        return self._placement() | ({} if self.precision == "fp16" else {"device": "cpu"})

    def _placement(self) -> dict[str, Any]:
        return {"device": self.device, "precision": self.precision, "batch_size": self.batch_size}


def carry_out(order: Order) -> Report:
    """Extract; DataError with what went wrong, as :func:`avsgn_pyg.features.extraction.extract.extract`."""
    plan, encoders = order.plan(), order.encoders()
    return extract(
        plan, order.out, *encoders,
        segments=order.segments,
        frames_per_segment=order.frames_per_segment,
        own_length=order.own_length,
        engine=_engine(order, encoders[0]),
        workers=order.workers,
        overwrite=order.overwrite,
        retry_failed=order.retry_failed,
        progress=order.progress,
    )


def check(order: Order, count: int) -> Check:
    """Encode `count` videos of the store again; see :func:`avsgn_pyg.features.extraction.verify.verify`.

    The encoders are the store's own; where their weights lie here may be told by the order.
    """
    plan = order.plan()
    # What may be fetched goes by what the store names, not by this order's encoders.
    named = dataclasses.replace(order, download=False)
    options = {kind: named.choice(kind).options for kind in ("visual", "audio")}
    path, place = plan.shard.name(order.out), {"device": order.device, "batch_size": order.batch_size}
    return verify(plan, path, count, options=options, download=order.download, **place)


def _engine(order: Order, frame_encoder: FrameEncoder) -> Engine | None:
    """What encodes; ``None`` for processes on this machine. Ray is asked for only where it is wanted."""
    if order.engine == "processes":
        return None
    if order.own_length:
        raise ExtractionError("engine=ray reads videos of one length; for --own-length on several machines use --shard")
    from avsgn_pyg.features.extraction.cluster import RayEngine

    return RayEngine(
        order.choice("visual"), order.choice("audio"), frame_encoder.preparation,
        segments=order.segments, frames_per_segment=order.frames_per_segment, actors=order.actors, **order._placement(),
    )
