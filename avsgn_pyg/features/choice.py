"""What a command line says of encoders: their names, options and precisions; needs no torch.

The classes behind the names are imported when :mod:`avsgn_pyg.features.encoder` makes one.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from avsgn_pyg.errors import EncoderError

Kind = Literal["visual", "audio"]

PRECISIONS: Final = ("fp32", "bf16", "fp16")
#: What encodes: processes of this machine, or a Ray cluster.
ENGINES: Final = ("processes", "ray")

#: Words of the command line that are options of an encoder: which encoder's, which option, what it means.
OPTIONS: Final[dict[str, tuple[Kind, str, str]]] = {
    "visual-model": ("visual", "model", "clip: a model of open_clip"),
    "visual-weights": ("visual", "weights", "clip: a tag of open_clip's, or a checkpoint file"),
    "audio-model": ("audio", "model", "clap: HTSAT-tiny or HTSAT-base"),
    "audio-weights": ("audio", "weights", "clap: a published name, or a checkpoint file"),
    "tokenizer": ("audio", "tokenizer", "clap: a folder with roberta-base's tokenizer"),
    "audio-pass": ("audio", "audio_pass", "clap: segment, each second alone; video, ten seconds at once"),
}


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder by name, with the options of its class; what a command line or a record says."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, settings: Sequence[str] = ()) -> EncoderChoice:
        """From ``KEY=VALUE`` words; a value is JSON where it can be (``128``, ``true``, ``null``), else text.

        Raises:
            EncoderError: a word without ``=``.
        """
        options = {}
        for word in settings:
            key, equals, value = word.partition("=")
            if not equals or not key:
                raise EncoderError(f"encoder option {word!r} is not KEY=VALUE; write for example model=ViT-B-16")
            try:
                options[key] = json.loads(value)
            except json.JSONDecodeError:
                options[key] = value
        return cls(name, options)


def _in(module: str, name: str) -> Callable[[], type]:
    """The class's loader: nobody pays for open_clip or laion_clap before asking for it."""

    def load() -> type:
        try:
            return getattr(importlib.import_module(f"avsgn_pyg.features.{module}"), name)
        except ModuleNotFoundError as error:
            raise lacking(name, error) from None

    return load


def lacking(name: str, error: ModuleNotFoundError) -> EncoderError:
    """What to say of an encoder whose package is not installed."""
    return EncoderError(f"encoder {name!r} needs {error.name}, not installed here: pip install 'avsgn_pyg[extract]'")


#: Name -> what imports the class. A class takes its options, `device`, `precision` and `batch_size` by keyword.
FRAME_ENCODERS: dict[str, Callable[[], type]] = {
    "clip": _in("clip", "ClipEncoder"),
    "signal": _in("signal", "SignalFrames"),
}
AUDIO_ENCODERS: dict[str, Callable[[], type]] = {
    "clap": _in("clap", "ClapEncoder"),
    "signal": _in("signal", "SignalAudio"),
}
