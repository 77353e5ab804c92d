"""The interface of encoders, building one from its name or its record, and the label text of both.

Shapes: F frames, N segments of k frames, V videos, S seconds, P texts, C classes, d width. Every vector is float32 on
the CPU, and has unit length unless the class has ``unit_length = False``. Another encoder is one class with this
interface and one row in a table (``docs/encoders.md``).
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError, did_you_mean
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.features.choice import AUDIO_ENCODERS, FRAME_ENCODERS, EncoderChoice, Kind, not_installed
from avsgn_pyg.features.compute import choose_device, out_of_memory

#: Section 4.1 of the paper; no full stop.
PROMPTS: Final = {"visual": "This photo contains the {}", "audio": "This sound contains the {}"}

#: Arguments of an encoder's class that are not options.
_PLACEMENT: Final = ("device", "precision", "batch_size")


@runtime_checkable
class Encoder(Protocol):
    """What both kinds share.

    Attributes:
        name: its row in the table.
        width: d, of frames or sounds and of texts.
        revision: sha256 of all that decides its features but the precision: weights, architecture, preparation.
        precision: ``fp32``, ``bf16`` or ``fp16`` (the latter two by autocast).
        batch_size: most frames, sounds or texts that are encoded at once.

    A class without language has ``has_text = False``, one whose texts are mere codes ``text_has_meaning = False``. One
    that embeds sound, pictures and text in one space has ``joint_space``, equal for the encoders of that space.
    """

    name: str
    width: int
    revision: str
    device: torch.device
    precision: str
    batch_size: int

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]: ...

    def record(self) -> dict[str, Any]:
        """Return, JSON-ready, what rebuilds the encoder (name, options) and identifies it (revision, versions)."""
        ...


@runtime_checkable
class FrameEncoder(Encoder, Protocol):
    """An encoder of pictures.

    Attributes:
        preparation: resizes and crops ([F, H, W, 3] uint8 to a tensor of F rows); pickles without
            the weights, so that it can run where the video is decoded.

    A class that encodes the frames of a segment as one short video has ``encode_segments``, [N, k, ...] to [N, d].
    """

    preparation: Callable[[UInt8[Tensor, "F H W 3"]], Tensor]

    def encode_frames(self, prepared: Tensor) -> Float[Tensor, "F d"]: ...


@runtime_checkable
class AudioEncoder(Encoder, Protocol):
    """An encoder of sound: mono, 48 kHz, in [-1, 1], one second per row.

    If the features of a second do not depend on its neighbours, the class has ``each_second_alone = True``.
    """

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]: ...


def make_frame_encoder(
    choice: EncoderChoice, *, device: str = "auto", precision: str = "fp32", batch_size: int = 64
) -> FrameEncoder:
    """Build the frame encoder that `choice` names.

    Raises:
        EncoderError: an unknown name or option, a device that is not available, weights that are missing or do not fit.
    """
    return _make("visual", choice, device, precision, batch_size)


def make_audio_encoder(
    choice: EncoderChoice, *, device: str = "auto", precision: str = "fp32", batch_size: int = 64
) -> AudioEncoder:
    """Build the audio encoder that `choice` names; errors as for :func:`make_frame_encoder`."""
    return _make("audio", choice, device, precision, batch_size)


def encoder_from_record(
    record: Mapping[str, Any], kind: Kind, *, options: Mapping[str, Any] | None = None,
    device: str = "auto", precision: str = "fp32", batch_size: int = 64,
) -> FrameEncoder | AudioEncoder:
    """Rebuild the encoder that features were made with.

    Args:
        record: what its ``record()`` returned, perhaps on another machine.
        options: replace recorded ones, such as the path of the weights: a record has only their file's name, which
            is looked up in the current folder.

    Raises:
        EncoderError: an incomplete record; a file of it is not here; the encoder cannot be built here; or its
            revision is another.
    """
    missing = [key for key in ("name", "options", "revision") if key not in record]
    if missing:
        raise EncoderError(f"the {kind} encoder's record lacks {missing}; the features must be extracted again")
    name, options, revision = record["name"], {**record["options"], **(given := options or {})}, record["revision"][:12]
    for key in record.get("files", ()):
        if key not in given and not Path(str(options[key])).exists():
            raise EncoderError(
                f"{kind} encoder {name!r}: {key} {options[key]} (of revision {revision}) not found; "
                f"give its path: --{kind} {name} {key}=FILE"
            )
    encoder = _make(kind, EncoderChoice(name, options), device, precision, batch_size)
    if encoder.revision != record["revision"]:
        raise EncoderError(
            f"{kind} encoder {name!r} has revision {encoder.revision[:12]}, the features were made with {revision}; "
            "give the weights they were made with, or extract the features again"
        )
    return encoder


def _make(kind: Kind, choice: EncoderChoice, device: str, precision: str, batch_size: int) -> Any:
    table = FRAME_ENCODERS if kind == "visual" else AUDIO_ENCODERS
    if choice.name not in table:
        raise EncoderError(f"no {kind} encoder is called {choice.name!r}; choose one of {', '.join(sorted(table))}"
                           f"{did_you_mean(choice.name, table)}")
    if batch_size < 1:
        raise EncoderError(f"batch_size must be 1 or more, got {batch_size}")
    place = choose_device(device, precision)
    cls = table[choice.name]()
    _check_options(cls, choice)
    try:
        with out_of_memory(place):
            return cls(**choice.options, device=place, precision=precision, batch_size=batch_size)
    except ModuleNotFoundError as error:
        raise not_installed(choice.name, error) from None


def _check_options(cls: type, choice: EncoderChoice) -> None:
    """EncoderError for an option that the class does not have, or a value that does not fit its annotation."""
    hints = typing.get_type_hints(cls.__init__)
    known = [name for name, parameter in inspect.signature(cls).parameters.items()
             if name not in _PLACEMENT and parameter.kind is not parameter.VAR_KEYWORD]
    for key, value in choice.options.items():
        if key not in known:
            raise EncoderError(f"encoder {choice.name!r} has no option {key!r}; it has {', '.join(known) or 'none'}"
                               f"{did_you_mean(key, known)}")
        try:
            TypeAdapter(hints.get(key, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            reason = error.errors()[0]["msg"]
            raise EncoderError(f"encoder {choice.name!r} was given {key}={value!r}: {reason}") from None


def without_text(*encoders: Encoder) -> list[str]:
    """Return the names of the encoders without language."""
    return [encoder.name for encoder in encoders if not getattr(encoder, "has_text", True)]


def label_text(
    frame_encoder: FrameEncoder, audio_encoder: AudioEncoder, categories: Sequence[str],
    prompts: Mapping[str, str] = PROMPTS,
) -> LabelText:
    """Encode the class names with both text encoders (Section 3.2).

    Args:
        categories: C names in index order.
        prompts: a template for each of ``visual`` and ``audio``, with ``{}`` where the name goes.

    Raises:
        EncoderError: an encoder without language; a template without ``{}``; two names with the same embedding.
    """
    return LabelText(
        visual=_encode_names(frame_encoder, "visual", categories, prompts.get("visual", "")),
        audio=_encode_names(audio_encoder, "audio", categories, prompts.get("audio", "")),
    )


def _encode_names(encoder: Encoder, kind: Kind, names: Sequence[str], template: str) -> Float[Tensor, "C d"]:
    if template.count("{}") != 1:
        raise EncoderError(f"{kind} prompt {template!r} must contain {{}} once, for the class name")
    rows = encoder.encode_text([template.replace("{}", name) for name in names])
    same = torch.cdist(rows.double(), rows.double()).fill_diagonal_(torch.inf) < 1e-6
    if bool(same.any()):
        first, second = same.nonzero()[0].tolist()
        raise EncoderError(f"encoder {encoder.name!r} gives {names[first]!r} and {names[second]!r} one {kind} text "
                           "embedding; check its tokenizer's files, and the prompt")
    return rows
