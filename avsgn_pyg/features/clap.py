"""laion_clap's CLAP as a frozen audio encoder; the project's only door to laion_clap and transformers.

The library's own functions quantise, pad and encode. Only its ways of fetching files are replaced: importing it
asks the hub for three tokenizers, building it for a text model that the checkpoint overwrites, and its loader
unpickles what it downloads. Here nothing is fetched unasked, and a checkpoint is read as plain tensors.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.clap_weights import PUBLISHED, find_weights
from avsgn_pyg.features.compat import declare_torchvision_ops
from avsgn_pyg.features.compute import EncoderError, autocast, choose_device, unit, versions
from avsgn_pyg.features.record import file_options
from avsgn_pyg.features.weights import fingerprint, load_whole, no_hub, read_state

declare_torchvision_ops()

import transformers  # noqa: E402

TOKENIZER: Final = "roberta-base"
#: Words of roberta-base's tokenizer, which every published CLAP was trained with.
VOCABULARY: Final = 50_265
#: Its architecture, so that it need not be asked for; the weights come with the checkpoint.
ROBERTA: Final = {
    "vocab_size": VOCABULARY, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}
#: Of every CLAP that laion_clap builds.
WIDTH: Final = 512
#: A pass of HTS-AT hears ten seconds.
WINDOW: Final = 10
RATE: Final = 48_000
#: Buffers that some versions of transformers save and others make anew; they hold nothing that was learned.
_OBSOLETE: Final = ("text_branch.embeddings.position_ids", "text_branch.embeddings.token_type_ids")


class ClapEncoder:
    """A frozen CLAP.

    Args:
        model: ``HTSAT-tiny`` or ``HTSAT-base``.
        fused: the variant with feature fusion; needs torchaudio.
        weights: a name of :data:`PUBLISHED`, or a checkpoint file; ``None`` is the first published for the model.
        tokenizer: a folder with roberta-base's tokenizer (``vocab.json``, ``merges.txt``); ``None`` looks in the
            local cache of huggingface.co.
        vocabulary: words the tokenizer must have; another number than the default only fits another training.
        audio_pass: ``segment`` hears each second alone, repeated to ten, as the library does with short sounds;
            ``video`` hears ten seconds at once and averages the fine-grained embedding over each: ten times
            cheaper, with context, and other features.
        width: refuse a model that is not so wide.
        download: fetch what is not in the local cache from huggingface.co.

    Raises:
        EncoderError: weights or tokenizer that are not here or do not fit, another width than asked, no torchaudio.
    """

    name = "clap"

    def __init__(
        self, *, model: Literal["HTSAT-tiny", "HTSAT-base"] = "HTSAT-tiny", fused: bool = False,
        weights: str | None = None, tokenizer: str | None = None, vocabulary: int = VOCABULARY,
        audio_pass: Literal["segment", "video"] = "segment", width: int | None = None, download: bool = False,
        device: str | torch.device = "cpu", precision: str = "fp32", batch_size: int = 64,
    ) -> None:
        if width not in (None, WIDTH):
            raise EncoderError(f"clap is {WIDTH} wide, width={width} was asked for; leave width out")
        if fused and importlib.util.find_spec("torchaudio") is None:
            raise EncoderError("clap with fused=true needs torchaudio, which is not installed; "
                               "install the torchaudio of your torch, or use fused=false")
        weights = weights or next((name for name, trained in PUBLISHED.items() if trained == (model, fused)), None)
        if weights is None:
            raise EncoderError(f"no weights of {model} with fused=true are published; give weights=FILE")
        self._files = {} if weights in PUBLISHED else {"weights": weights}
        self._files |= {} if tokenizer is None else {"tokenizer": tokenizer}
        self._options = {"model": model, "fused": fused, "weights": weights, "tokenizer": tokenizer,
                         "vocabulary": vocabulary, "audio_pass": audio_pass}
        self.device, self.precision = choose_device(str(device), precision), precision
        self.width, self.batch_size = WIDTH, batch_size
        path = find_weights(model, fused, weights, download)
        words = load_tokenizer(tokenizer, vocabulary, download)
        self._clap = build(model, fused, words)
        hint = f"is it {model} with fused={str(fused).lower()}?"
        state = load_whole(self._clap.model, read_state(path), path, hint, without=_OBSOLETE)
        keep_exact(self._clap.model.audio_branch)
        self.each_second_alone = audio_pass == "segment"
        self._audio_pass = {"segment": self._each_second, "video": self._ten_seconds}[audio_pass]
        settings = {"encoder": self.name, "model": model, "fused": fused, "audio_pass": audio_pass,
                    "tokenizer": sorted(words.get_vocab().items())}
        self.revision = fingerprint(state, settings)
        self._clap.eval().requires_grad_(False).to(self.device)

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """One unit vector a second; what each hears is told by ``audio_pass``."""
        if not samples.numel():
            return torch.zeros(*samples.shape[:2], self.width)
        with torch.inference_mode():
            return self._audio_pass(samples.cpu())

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        """One unit vector a text, which is cut at 77 tokens."""
        batches = [list(texts[start:start + self.batch_size]) for start in range(0, len(texts), self.batch_size)]
        with torch.inference_mode(), autocast(self.device, self.precision):
            rows = [unit(self._clap.get_text_embedding(batch, use_tensor=True)) for batch in batches]
        return torch.cat(rows) if rows else torch.zeros(0, self.width)

    def record(self) -> dict[str, Any]:
        """JSON-ready: name, options (the audio pass among them), width, revision, precision, versions."""
        return {
            "name": self.name, **file_options(self._options, self._files), "width": self.width,
            "revision": self.revision, "precision": self.precision,
            "versions": versions("torch", "laion_clap", "transformers"),
        }

    def _each_second(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        rows = [self._embed(self._heard(batch)) for batch in samples.flatten(0, 1).split(self.batch_size)]
        return torch.cat(rows).unflatten(0, samples.shape[:2])

    def _ten_seconds(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        # The last window of a longer video reaches back, so that it hears ten real seconds too.
        seconds = samples.shape[1]
        starts = [max(0, min(start, seconds - WINDOW)) for start in range(0, seconds, WINDOW)]
        windows = [samples[:, start:start + WINDOW].flatten(1) for start in starts]
        found = samples.new_zeros(*samples.shape[:2], self.width)
        for start, window in zip(starts, windows, strict=True):
            rows = [self._embed_seconds(self._heard(batch)) for batch in window.split(self.batch_size)]
            found[:, start:start + WINDOW] = torch.cat(rows)[:, :seconds]
        return found

    def _heard(self, waves: Float[Tensor, "N length"]) -> dict[str, Tensor]:
        """The library's input of each wave: int16 steps, repeated and filled with zeros to ten seconds."""
        library = _module("laion_clap.training.data")
        steps = library.int16_to_float32(library.float32_to_int16(waves.numpy()))
        fill = "fusion" if self._clap.enable_fusion else "rand_trunc"
        inputs = [
            library.get_audio_features({}, wave, WINDOW * RATE, fill, "repeatpad", self._clap.model_cfg["audio_cfg"])
            for wave in torch.from_numpy(steps)
        ]
        return {key: torch.stack([one[key] for one in inputs]).to(self.device) for key in inputs[0]}

    def _embed(self, inputs: dict[str, Tensor]) -> Float[Tensor, "N d"]:
        with autocast(self.device, self.precision):
            heard = self._clap.model.encode_audio(inputs, device=self.device)["embedding"]
            return unit(self._clap.model.audio_projection(heard))

    def _embed_seconds(self, inputs: dict[str, Tensor]) -> Float[Tensor, "N 10 d"]:
        with autocast(self.device, self.precision):
            heard = self._clap.model.encode_audio(inputs, device=self.device)["fine_grained_embedding"]
            shares = second_shares(heard.shape[1]).to(heard)
            return unit(self._clap.model.audio_projection(shares @ heard))


def keep_exact(branch: torch.nn.Module) -> None:
    """Have the audio branch take its log-mel spectrum in float32 under autocast too.

    Its floor of 1e-10 is 0 in half floats, and the logarithm of a silent band would be minus infinity.
    """
    for front in (branch.spectrogram_extractor, branch.logmel_extractor):
        front.forward = partial(_in_float32, type(front).forward.__get__(front))


def _in_float32(forward: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    with torch.autocast(rows.device.type, enabled=False):
        return forward(rows.float())


def second_shares(rows: int) -> Float[Tensor, "10 rows"]:
    """How much of each of ten seconds each of `rows` equal steps covers; a second's shares sum to 1.

    HTS-AT gives 1,024 rows for ten seconds (32 steps, each repeated), so seconds end within rows.
    """
    edges = torch.linspace(0, WINDOW, rows + 1, dtype=torch.float64)
    second = torch.arange(WINDOW, dtype=torch.float64)[:, None]
    return (torch.minimum(edges[1:], second + 1) - torch.maximum(edges[:-1], second)).clamp_min(0).float()


def load_tokenizer(folder: str | None, vocabulary: int, download: bool) -> Any:
    """RoBERTa's tokenizer, known to be whole: without its files transformers makes an empty one and says nothing."""
    way = (f"fetch it with download=true, or save vocab.json and merges.txt of https://huggingface.co/"
           f"{TOKENIZER}/tree/main in a folder and give tokenizer=FOLDER")
    if folder is not None and not Path(folder).is_dir():
        raise EncoderError(f"{folder}: no such folder for clap's tokenizer; {way}")
    try:
        with no_hub(allowed=download):
            words = transformers.RobertaTokenizer.from_pretrained(folder or TOKENIZER)
    except (OSError, ValueError, TypeError):
        words = ()
    if len(words) != vocabulary:
        raise EncoderError(f"clap's tokenizer ({folder or TOKENIZER}) has {len(words)} words, not {vocabulary}; {way}")
    return words


def build(model: str, fused: bool, tokenizer: Any) -> torch.nn.Module:
    """The library's module with random weights, made without asking the hub for anything."""
    with _local_text(tokenizer), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the library itself imports and calls
        return _module("laion_clap").CLAP_Module(enable_fusion=fused, amodel=model, device="cpu")


def _module(name: str) -> ModuleType:
    """A module of laion_clap; the library puts its own folder on ``sys.path``, which is undone."""
    before = list(sys.path)
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before


@contextmanager
def _local_text(tokenizer: Any) -> Iterator[None]:
    """While it lasts, what laion_clap asks of transformers by name is answered from here."""
    answers: dict[type, Callable[..., Any]] = {
        # v5 has one class under both names; each is asked for at import, and this tokenizer alone is used.
        **dict.fromkeys((transformers.BertTokenizer, transformers.BartTokenizer, transformers.RobertaTokenizer),
                        lambda *_, **__: tokenizer),
        transformers.RobertaModel: lambda *_, **__: transformers.RobertaModel(transformers.RobertaConfig(**ROBERTA)),
    }
    own = {cls: cls.__dict__.get("from_pretrained") for cls in answers}
    for cls, answer in answers.items():
        cls.from_pretrained = staticmethod(answer)
    try:
        yield
    finally:
        for cls, found in own.items():
            if found is None:
                del cls.from_pretrained
            else:
                cls.from_pretrained = found
