"""The names, options and precisions of encoders, for command lines; imports no torch.

:mod:`avsgn_pyg.features.encoder` imports the classes behind the names.
"""

from __future__ import annotations

import importlib
import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from avsgn_pyg.common.command_line import Parser, is_setting, local, setting
from avsgn_pyg.common.errors import EncoderError

Kind = Literal["visual", "audio"]

PRECISIONS: Final = ("fp32", "bf16", "fp16")
#: Where the encoders run: in processes of this machine, or on a Ray cluster.
ENGINES: Final = ("processes", "ray")

#: Command-line options that set an option of an encoder: the encoder's kind, the option, its help text.
OPTIONS: Final[dict[str, tuple[Kind, str, str]]] = {
    "visual-model": ("visual", "model", "clip: a model of open_clip"),
    "visual-weights": ("visual", "weights", "clip: a tag of open_clip, or a checkpoint file; pe_av: a folder or a name "
                       "on huggingface.co; vgg19: a checkpoint file"),
    "audio-model": ("audio", "model", "clap: HTSAT-tiny or HTSAT-base"),
    "audio-weights": ("audio", "weights", "clap: a published name, or a checkpoint file; hf_clap, pe_av, pe_a_frame: a "
                      "folder or a name on huggingface.co; vggish: a checkpoint file"),
    "tokenizer": ("audio", "tokenizer", "clap: a folder with roberta-base's tokenizer"),
    "audio-pass": ("audio", "audio_pass", "clap, hf_clap: segment, each second alone; video, ten seconds at once"),
}


@dataclass(frozen=True)
class EncoderChoice:
    """The name of an encoder, and the options of its class."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, settings: Sequence[str] = ()) -> EncoderChoice:
        """Parse ``KEY=VALUE`` words; a value is JSON if it is valid JSON (``128``, ``true``, ``null``), else text.

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


def not_installed(name: str, error: ModuleNotFoundError) -> EncoderError:
    """Return the error for an encoder whose package is not installed."""
    extra, limit = "extract", ""
    if (error.name or "").startswith("laion"):
        extra, limit = "laion", " (numpy<2, Python 3.10 to 3.12; hf_clap needs neither)"
    return EncoderError(
        f"encoder {name!r} needs {error.name}, not installed here: pip install 'avsgn_pyg[{extra}]'{limit}")


def _class(module: str, name: str) -> Callable[[], type]:
    """Return a function that imports the class, so that open_clip and laion_clap are only imported when used."""

    def load() -> type:
        try:
            return getattr(importlib.import_module(f"avsgn_pyg.features.{module}"), name)
        except ModuleNotFoundError as error:
            raise not_installed(name, error) from None

    return load


#: Name -> function that imports the class, which takes its options, `device`, `precision` and `batch_size` by keyword.
FRAME_ENCODERS: dict[str, Callable[[], type]] = {
    "clip": _class("clip", "ClipEncoder"),
    "pe_av": _class("pe_av", "PeAvFrames"),
    "signal": _class("signal", "SignalFrames"),
    "vgg19": _class("vgg19", "Vgg19Encoder"),
}
AUDIO_ENCODERS: dict[str, Callable[[], type]] = {
    "clap": _class("clap", "ClapEncoder"),
    "hf_clap": _class("hf_clap", "HfClapEncoder"),
    "pe_a_frame": _class("pe_a_frame", "PeAFrameEncoder"),
    "pe_av": _class("pe_av", "PeAvAudio"),
    "signal": _class("signal", "SignalAudio"),
    "vggish": _class("vggish", "VggishEncoder"),
}


def add_encoders(parser: Parser, visual: str, audio: str) -> None:
    """Add the options for both encoders (defaults: `visual` and `audio`), their device, precision and batch size."""
    parser.add_argument("--visual", choices=sorted(FRAME_ENCODERS), default=visual)
    parser.add_argument("--audio", choices=sorted(AUDIO_ENCODERS), default=audio)
    for option, (_, _, help_text) in OPTIONS.items():
        parser.add_argument(f"--{option}", type=local, metavar="TEXT", help=help_text)
    for kind in ("visual", "audio"):
        parser.add_list(f"--{kind}-options", commas=False, own=is_setting, type=setting, default=[],
                        metavar="KEY=VALUE", help="more options")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="frames or seconds per batch")


def take_encoders(options: Namespace) -> dict[str, EncoderChoice]:
    """Return the ``visual`` and ``audio`` of :func:`add_encoders`; EncoderError if an option is not ``KEY=VALUE``."""
    found = {}
    for kind in ("visual", "audio"):
        choice = EncoderChoice.parse(getattr(options, kind), getattr(options, f"{kind}_options"))
        named = {key: getattr(options, word.replace("-", "_")) for word, (of, key, _) in OPTIONS.items() if of == kind}
        given = {key: value for key, value in named.items() if value is not None}
        found[kind] = EncoderChoice(choice.name, {**choice.options, **given})
    return found
