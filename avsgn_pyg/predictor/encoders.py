"""The encoders of a checkpoint, rebuilt from what the features it was trained on say of theirs.

Features of two encoders are as unlike as two languages, and nothing in their shape shows it. So a clip is encoded by
what made the training's features, told by revision; where those do not say what made them, by encoders that the
caller names, with a warning that nobody checked them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.config import ConfigError
from avsgn_pyg.engine.checkpoint import Checkpoint, CheckpointError
from avsgn_pyg.features.encoder import (
    AudioEncoder,
    EncoderChoice,
    EncoderError,
    FrameEncoder,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)

KINDS: Final = ("visual", "audio")
#: Cosine from which two label embeddings count as the same; low precision moves one by less.
SAME: Final = 0.99

Given = Mapping[str, EncoderChoice | FrameEncoder | AudioEncoder]


@dataclass(frozen=True, eq=False)
class Encoders:
    """What turns a clip into the features of a checkpoint.

    Attributes:
        visual, audio: the encoders.
        frames_per_segment: k, as in training.
        checked: both are known to be those of the training's features.
    """

    visual: FrameEncoder
    audio: AudioEncoder
    frames_per_segment: int
    checked: bool


def rebuild(checkpoint: Checkpoint, given: Given | None = None, **placement: Any) -> Encoders:
    """The encoders of a checkpoint.

    Args:
        given: ``visual`` and ``audio`` -> an encoder, or a choice of one. Of the recorded name, a choice's options take
            the place of the recorded ones (where the weights lie here, say), and the revision must still be the same.
        placement: `device`, `precision` and `batch_size` of those made here.

    Raises:
        EncoderError: the features say nothing of their encoders and none are given; an encoder is another than the
            recorded one, or not as wide as the features; it cannot be made here; or label text and features are of
            different encoders.
        CheckpointError: the label bank is not that of the checkpoint's classes.
    """
    unknown = sorted(set(given or ()) - set(KINDS))
    if unknown:
        raise EncoderError(f"encoders for {unknown}: a model takes {' and '.join(KINDS)}")
    provenance = features_of(checkpoint)
    _refuse_other_label_text(checkpoint, provenance)
    found = {kind: _one(kind, checkpoint, provenance.get(kind), (given or {}).get(kind), placement) for kind in KINDS}
    unchecked = [kind for kind in KINDS if not _has_record(provenance.get(kind))]
    encoders = Encoders(**found, frames_per_segment=_frames_per_segment(provenance), checked=not unchecked)
    if unchecked:
        warnings.warn(
            f"{checkpoint.path}: unchecked: its features do not say which {' and '.join(unchecked)} encoder made them; "
            "with any other than those given here the answer means nothing", stacklevel=2,
        )
    _refuse_other_bank(checkpoint, provenance, encoders)
    return encoders


def features_of(checkpoint: Checkpoint) -> dict[str, Any]:
    """What the training's features say of themselves; empty where they say nothing."""
    said = checkpoint.meta.provenance.get("features", {})
    return said if isinstance(said, dict) else {}


def _one(kind: str, checkpoint: Checkpoint, record: Any, given: Any, placement: Mapping[str, Any]) -> Any:
    if given is None and not _has_record(record):
        raise EncoderError(_no_record(kind, checkpoint))
    if given is not None and not isinstance(given, EncoderChoice):
        encoder = given
        if _has_record(record) and encoder.revision != record["revision"]:
            raise EncoderError(_another(kind, checkpoint, record, encoder.name, encoder.revision))
    elif not _has_record(record):
        make = make_frame_encoder if kind == "visual" else make_audio_encoder
        encoder = make(given, **placement)
    else:
        encoder = _recorded(kind, checkpoint, record, given, placement)
    return _as_wide(kind, checkpoint, encoder)


def _recorded(
    kind: str, checkpoint: Checkpoint, record: Mapping[str, Any], choice: EncoderChoice | None,
    placement: Mapping[str, Any],
) -> Any:
    if choice is not None and choice.name != record["name"]:
        raise EncoderError(_another(kind, checkpoint, record, choice.name, None))
    try:
        return encoder_from_record(record, kind, options=None if choice is None else choice.options, **placement)
    except EncoderError as error:
        raise EncoderError(f"{checkpoint.path}: {error}") from error


def _as_wide(kind: str, checkpoint: Checkpoint, encoder: Any) -> Any:
    wanted = {"visual": checkpoint.meta.visual_width, "audio": checkpoint.meta.audio_width}[kind]
    if encoder.width != wanted:
        raise EncoderError(
            f"{checkpoint.path}: trained on {kind} features {wanted} wide, the {kind} encoder {encoder.name!r} gives "
            f"{encoder.width}; give the encoder that made those features"
        )
    return encoder


def _refuse_other_label_text(checkpoint: Checkpoint, provenance: Mapping[str, Any]) -> None:
    """Label text of a feature store must be by the encoders of its features."""
    if _own_bank(checkpoint):
        return
    for kind, revision in (provenance.get("label_text") or {}).items():
        record = provenance.get(kind)
        if _has_record(record) and revision != record["revision"]:
            raise EncoderError(
                f"{checkpoint.path}: its {kind} label text was made by revision {str(revision)[:12]}, its {kind} "
                f"features by {record['revision'][:12]}; extract both with one encoder and train again"
            )


def _refuse_other_bank(checkpoint: Checkpoint, provenance: Mapping[str, Any], encoders: Encoders) -> None:
    """The frozen bank in the weights must be what the encoders say of the checkpoint's class names."""
    prompts, bank = provenance.get("prompts"), _bank(checkpoint)
    frozen = checkpoint.config.model.text.bank == "frozen"
    if not (prompts and bank and frozen and provenance.get("label_text")) or _own_bank(checkpoint):
        return
    names = checkpoint.meta.categories
    made = label_text(encoders.visual, encoders.audio, names, prompts)
    for kind in KINDS:
        near = F.cosine_similarity(getattr(made, kind), bank[kind], dim=-1)
        if bool((near < SAME).any()):
            place = int(near.argmin())
            raise CheckpointError(
                f"{checkpoint.path}: its {kind} label bank is of other classes than its names: row {place} is not "
                f"{names[place]!r} (cosine {float(near[place]):.2f} to what {getattr(encoders, kind).name!r} makes of "
                "that name); were the categories edited?"
            )


def refuse_foreign(checkpoint: Checkpoint) -> None:
    """ConfigError for a model whose answer is no Localization, or whose features are no encoder's here."""
    if checkpoint.config.data.kind == "llp":
        raise ConfigError(f"{checkpoint.path}: parses videos (data.kind=llp); predictions are of models that localize "
                          "one event, and tools/train_parsing.py --score takes this one")
    if checkpoint.config.data.regions == "keep":
        raise ConfigError(f"{checkpoint.path}: trained on regions (data.regions=keep), and clips are encoded as one "
                          "vector a second; predictions are of models trained with data.regions=pool")


def refuse_other_classes(checkpoint: Checkpoint) -> None:
    """CheckpointError where the label bank in the weights has another number of rows than there are class names."""
    names = checkpoint.meta.categories
    for kind, rows in _bank(checkpoint).items():
        if len(rows) != len(names):
            raise CheckpointError(
                f"{checkpoint.path}: names {len(names)} classes ({', '.join(names[:4])}, ...), its {kind} label bank "
                f"has {len(rows)} rows; weights and meta belong to different runs"
            )


def _bank(checkpoint: Checkpoint) -> dict[str, Tensor]:
    found = {kind: checkpoint.weights.get(f"label_text.{kind}") for kind in KINDS}
    return {kind: rows for kind, rows in found.items() if rows is not None}


def _own_bank(checkpoint: Checkpoint) -> bool:
    """Whether the label text came from files of its own, not from the feature store."""
    return "audio label text" in checkpoint.meta.provenance.get("files", {})


def _has_record(record: Any) -> bool:
    return isinstance(record, Mapping) and "revision" in record


def _frames_per_segment(provenance: Mapping[str, Any]) -> int:
    return int((provenance.get("extraction") or {}).get("frames_per_segment", 1))


def _no_record(kind: str, checkpoint: Checkpoint) -> str:
    return (
        f"{checkpoint.path}: cannot encode a clip: the features of {checkpoint.meta.dataset!r}, which it was "
        f"trained on, came without a record of their {kind} encoder. Train on features made by "
        "tools/extract_features.py, or name the encoder yourself, unchecked "
        f"(--{kind} NAME KEY=VALUE ..., or encoders={{{kind!r}: ...}})"
    )


def _another(kind: str, checkpoint: Checkpoint, record: Mapping[str, Any], name: str, revision: str | None) -> str:
    given = f"{name!r}" if revision is None else f"{name!r}, revision {revision[:12]},"
    return (
        f"{checkpoint.path}: trained on {kind} features by {record.get('name')!r}, revision {record['revision'][:12]}; "
        f"{given} was given, and its features mean something else; leave the encoder out, or give that one"
    )
