"""What an encoder is, the table of encoders, and the label text they make together.

Letters: F frames, V videos, S seconds, P texts, C classes, d width. Every vector has unit length and is
float32 on the CPU. Another encoder is one class with these members and one row in a table (``docs/encoders.md``).
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.errors import EncoderError
from avsgn_pyg.features.choice import AUDIO_ENCODERS, FRAME_ENCODERS, EncoderChoice, Kind, lacking
from avsgn_pyg.features.compute import choose_device, out_of_memory
from avsgn_pyg.features.record import refuse_absent_files

#: Section 4.1 of the paper; no full stop.
PROMPTS: Final = {"visual": "This photo contains the {}", "audio": "This sound contains the {}"}

#: Filled in by the caller of an encoder's class, never by its options.
_PLACEMENT: Final = ("device", "precision", "batch_size")


@runtime_checkable
class Encoder(Protocol):
    """What both kinds share.

    Attributes:
        name: its row in the table.
        width: d, of frames or sounds and of texts.
        revision: sha256 of all that decides its features but the precision: weights, architecture, preparation.
        device: where it computes.
        precision: ``fp32``, ``bf16`` or ``fp16`` (the latter two by autocast).
        batch_size: most frames, sounds or texts it takes at once.
    """

    name: str
    width: int
    revision: str
    device: torch.device
    precision: str
    batch_size: int

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]: ...

    def record(self) -> dict[str, Any]:
        """JSON-ready: what rebuilds it (name, options) and what tells it apart (revision, versions)."""
        ...


@runtime_checkable
class FrameEncoder(Encoder, Protocol):
    """Encodes pictures.

    Attributes:
        preparation: resizes and crops ([F, H, W, 3] uint8 to a tensor of F rows); pickles without
            the weights, so that it can run where the video is decoded.
    """

    preparation: Callable[[UInt8[Tensor, "F H W 3"]], Tensor]

    def prepare(self, frames: UInt8[Tensor, "F H W 3"]) -> Tensor: ...

    def encode_frames(self, prepared: Tensor) -> Float[Tensor, "F d"]: ...


@runtime_checkable
class AudioEncoder(Encoder, Protocol):
    """Encodes sound: mono, 48 kHz, in [-1, 1], a second a row.

    One whose features of a second do not depend on its neighbours says so with ``each_second_alone = True``.
    """

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]: ...


def make_frame_encoder(
    choice: EncoderChoice, *, device: str = "auto", precision: str = "fp32", batch_size: int = 64
) -> FrameEncoder:
    """The frame encoder that `choice` names.

    Raises:
        EncoderError: an unknown name or option, a device that is not there, weights that are missing or do not fit.
    """
    return _make(FRAME_ENCODERS, "visual", choice, device, precision, batch_size)


def make_audio_encoder(
    choice: EncoderChoice, *, device: str = "auto", precision: str = "fp32", batch_size: int = 64
) -> AudioEncoder:
    """The audio encoder that `choice` names; errors as of :func:`make_frame_encoder`."""
    return _make(AUDIO_ENCODERS, "audio", choice, device, precision, batch_size)


def encoder_from_record(
    record: Mapping[str, Any],
    kind: Kind,
    *,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 64,
) -> FrameEncoder | AudioEncoder:
    """The encoder that features were made with, rebuilt from what it said of itself.

    Args:
        record: what its ``record()`` returned, maybe on another machine.
        options: take the place of recorded ones, such as where the weights lie here: a record has their file's
            name alone, which counts from the current folder.

    Raises:
        EncoderError: no record; a file of its weights is not here; it cannot be made here; or it is not the same:
            the revisions differ.
    """
    missing = [key for key in ("name", "options", "revision") if key not in record]
    if missing:
        raise EncoderError(f"the {kind} encoder's record lacks {missing}; the features must be extracted again")
    choice = EncoderChoice(record["name"], {**record["options"], **(options or {})})
    refuse_absent_files(record, kind, options or {})
    make = make_frame_encoder if kind == "visual" else make_audio_encoder
    encoder = make(choice, device=device, precision=precision, batch_size=batch_size)
    if encoder.revision != record["revision"]:
        raise EncoderError(
            f"{kind} encoder {choice.name!r} has revision {encoder.revision[:12]}, the features were made with "
            f"{record['revision'][:12]}; give the weights they were made with, or extract the features again"
        )
    return encoder


def _make(
    table: Mapping[str, Callable[[], type]], kind: Kind, choice: EncoderChoice,
    device: str, precision: str, batch_size: int,
) -> Any:
    if choice.name not in table:
        raise EncoderError(f"no {kind} encoder is called {choice.name!r}; choose one of {', '.join(sorted(table))}")
    if batch_size < 1:
        raise EncoderError(f"batch_size={batch_size}: an encoder takes at least one at once")
    place = choose_device(device, precision)
    cls = table[choice.name]()
    for problem in _option_problems(cls, choice):
        raise EncoderError(problem)
    try:
        with out_of_memory(place):
            return cls(**choice.options, device=place, precision=precision, batch_size=batch_size)
    except ModuleNotFoundError as error:
        raise lacking(choice.name, error) from None


def _option_problems(cls: type, choice: EncoderChoice) -> Iterator[str]:
    hints = typing.get_type_hints(cls.__init__)
    known = [name for name in inspect.signature(cls).parameters if name not in _PLACEMENT]
    for key, value in choice.options.items():
        if key not in known:
            yield f"encoder {choice.name!r} has no option {key!r}; it has {', '.join(known) or 'none'}"
            continue
        try:
            TypeAdapter(hints.get(key, Any)).validate_python(value, strict=True)
        except ValidationError as error:
            yield f"encoder {choice.name!r} was given {key}={value!r}: {error.errors()[0]['msg']}"


def label_text(
    frame_encoder: FrameEncoder,
    audio_encoder: AudioEncoder,
    categories: Sequence[str],
    prompts: Mapping[str, str] = PROMPTS,
) -> LabelText:
    """The class names as both text towers see them (Section 3.2).

    Args:
        categories: C names in index order.
        prompts: a template for each of ``visual`` and ``audio``, with ``{}`` where the name goes.

    Raises:
        EncoderError: a template without ``{}``; an encoder that cannot tell two names apart.
    """
    rows = {"visual": frame_encoder, "audio": audio_encoder}
    return LabelText(**{kind: _prompted(rows[kind], kind, categories, prompts) for kind in rows})


def _prompted(
    encoder: Encoder, kind: str, categories: Sequence[str], prompts: Mapping[str, str]
) -> Float[Tensor, "C d"]:
    template = prompts.get(kind, "")
    if template.count("{}") != 1:
        raise EncoderError(f"{kind} prompt {template!r} must hold {{}} once, where the class name goes")
    rows = encoder.encode_text([template.replace("{}", name) for name in categories])
    near = torch.cdist(rows.double(), rows.double()).fill_diagonal_(torch.inf) < 1e-6
    if bool(near.any()):
        first, second = near.nonzero()[0].tolist()
        raise EncoderError(
            f"encoder {encoder.name!r} gives {categories[first]!r} and {categories[second]!r} one {kind} text "
            "embedding; check its tokenizer's files, and the prompt"
        )
    return rows
