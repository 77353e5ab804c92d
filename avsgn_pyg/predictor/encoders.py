"""The encoders of a checkpoint, rebuilt from the record in the features of its training.

Features of different encoders are not comparable even if their shapes agree, so encoders are compared by revision. For
features without a record the caller names the encoders; a warning says that they are unchecked.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import torch.nn.functional as F

from avsgn_pyg.common.errors import CheckpointError, EncoderError
from avsgn_pyg.engine.checkpoint import Checkpoint
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.encoder import (
    AudioEncoder,
    FrameEncoder,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)

KINDS: Final = ("visual", "audio")
#: Two label embeddings with at least this cosine count as equal; low precision changes it by less.
SAME: Final = 0.99

GivenEncoders = Mapping[str, EncoderChoice | FrameEncoder | AudioEncoder]


@dataclass(frozen=True, eq=False)
class Encoders:
    """The encoders of a checkpoint, and whether both have the recorded revision.

    Attributes:
        frames_per_segment, rate: pictures of each feature, and features a second, as in training.
    """

    visual: FrameEncoder
    audio: AudioEncoder
    frames_per_segment: int
    checked: bool
    rate: int = 1


def load_encoders(
    checkpoint: Checkpoint, given: GivenEncoders | None = None, *, download: bool = False, **placement: Any
) -> Encoders:
    """Return the encoders of a checkpoint.

    Args:
        given: ``visual`` and ``audio`` -> an encoder, or a choice of one. The options of a choice replace the recorded
            ones, such as the path of the weights; its name and the revision must be the recorded ones.
        download: whether missing weights may be downloaded.
        placement: `device`, `precision` and `batch_size` of encoders that are built here.

    Raises:
        EncoderError: no record and no given encoder; an encoder that is not the recorded one, has another width than
            the features, or cannot be built.
        CheckpointError: the label bank is not the encoders' text of the checkpoint's class names.
    """
    given, features = given or {}, feature_record(checkpoint)
    if not given.keys() <= set(KINDS):
        raise EncoderError(f"encoders for {sorted(given)}: expected {' and '.join(KINDS)}")
    unchecked = [kind for kind in KINDS if not _is_record(features.get(kind))]
    found = {kind: _encoder(kind, checkpoint, given.get(kind), download, placement) for kind in KINDS}
    if unchecked:
        warnings.warn(
            f"{checkpoint.path}: unchecked: its features have no record of their {' and '.join(unchecked)} encoder; "
            "predictions are meaningless if the encoders given here are others", stacklevel=2,
        )
    extraction = features.get("extraction") or {}
    encoders = Encoders(**found, frames_per_segment=int(extraction.get("frames_per_segment", 1)),
                        checked=not unchecked, rate=checkpoint.meta.rate)
    _check_label_bank(checkpoint, encoders)
    return encoders


def feature_record(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """Return what the training's features record of their extraction; empty if they record nothing."""
    record = checkpoint.meta.provenance.get("features", {})
    return record if isinstance(record, Mapping) else {}


def _is_record(value: Any) -> bool:
    return isinstance(value, Mapping) and "revision" in value


def with_download(choice: EncoderChoice) -> EncoderChoice:
    """Return the choice with permission to download weights; the signal encoders have no weights."""
    return choice if choice.name == "signal" else replace(choice, options={**choice.options, "download": True})


def _encoder(kind: str, checkpoint: Checkpoint, given: Any, download: bool, placement: Mapping[str, Any]) -> Any:
    record = feature_record(checkpoint).get(kind)
    if _is_record(record):
        _check_given(kind, checkpoint, record, given)
    elif given is None:
        raise EncoderError(
            f"{checkpoint.path}: cannot encode a clip: the features of {checkpoint.meta.dataset!r}, which it was "
            f"trained on, have no record of their {kind} encoder. Train on features made by "
            "tools/extract_features.py, or name the encoder yourself, unchecked "
            f"(--{kind} NAME KEY=VALUE ..., or encoders={{{kind!r}: ...}})"
        )
    try:
        if given is None:
            given = EncoderChoice(record.get("name", ""))
        if isinstance(given, EncoderChoice) and download:
            given = with_download(given)
        if not isinstance(given, EncoderChoice):
            encoder = given
        elif _is_record(record):
            encoder = encoder_from_record(record, kind, options=given.options, **placement)
        else:
            encoder = (make_frame_encoder if kind == "visual" else make_audio_encoder)(given, **placement)
    except EncoderError as error:
        raise EncoderError(f"{checkpoint.path}: {error}") from error
    width = {"visual": checkpoint.meta.visual_width, "audio": checkpoint.meta.audio_width}[kind]
    if encoder.width != width:
        raise EncoderError(f"{checkpoint.path}: trained on {kind} features {width} wide, but the {kind} encoder "
                           f"{encoder.name!r} returns features {encoder.width} wide; give the encoder of the training")
    return encoder


def _check_given(kind: str, checkpoint: Checkpoint, record: Mapping[str, Any], given: Any) -> None:
    """Raise EncoderError for a choice of another name, or an encoder of another revision, than the record's."""
    compared = "name" if isinstance(given, EncoderChoice) else "revision"
    if given is not None and getattr(given, compared) != record[compared]:
        revision = "" if compared == "name" else f", revision {given.revision[:12]},"
        raise EncoderError(
            f"{checkpoint.path}: trained on {kind} features by {record.get('name')!r}, revision "
            f"{record['revision'][:12]}; {given.name!r}{revision} was given, whose features are not comparable; leave "
            "the encoder out, or give the recorded one"
        )


def _check_label_bank(checkpoint: Checkpoint, encoders: Encoders) -> None:
    """Raise CheckpointError if the label bank of a store differs from the encoders' embeddings of the class names."""
    features, names = feature_record(checkpoint), checkpoint.meta.categories
    prompts, revisions = features.get("prompts"), features.get("label_text")
    has_bank = checkpoint.config.model.text.bank == "frozen" and "label_text.visual" in checkpoint.weights
    from_files = "audio label text" in checkpoint.meta.provenance.get("files", {})
    if not (prompts and revisions and has_bank) or from_files:
        return
    text = label_text(encoders.visual, encoders.audio, names, prompts)
    for kind in KINDS:
        encoder, bank = getattr(encoders, kind), checkpoint.weights[f"label_text.{kind}"]
        cosine = F.cosine_similarity(getattr(text, kind), bank, dim=-1)
        if bool((cosine < SAME).any()):
            row, revision = int(cosine.argmin()), str(revisions.get(kind))[:12]
            raise CheckpointError(
                f"{checkpoint.path}: its {kind} label bank is of other classes than its names, or of another encoder: "
                f"row {row} is not {names[row]!r} (cosine {float(cosine[row]):.2f} to the text of that name by "
                f"{encoder.name!r}); the categories were edited, or label text (revision {revision}) and features "
                f"(revision {encoder.revision[:12]}) are of different encoders: extract both with one and train again"
            )
