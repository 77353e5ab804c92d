"""laion_clap's CLAP as a frozen audio encoder; the only module that imports laion_clap.

The library's own functions quantise, pad and encode. Only its downloads are replaced: importing it fetches three
tokenizers from the hub, building a model fetches a text model that the checkpoint then overwrites, and its loader
unpickles what it downloads. Here nothing is fetched without ``download=true``, and checkpoints are read as tensors.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal
from unittest import mock

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.compute import RATE, WINDOW, declare_torchvision_ops, unit
from avsgn_pyg.features.hf_clap import Clap
from avsgn_pyg.features.weights import fingerprint, hub_weights, is_path, load_whole, no_hub, read_state

declare_torchvision_ops()

import transformers  # noqa: E402

REPOSITORY: Final = "lukewys/laion_clap"
#: Published checkpoints, each with the model and fusion it was trained with; the first of a pair is its default.
PUBLISHED: Final = {
    "630k-audioset-best": ("HTSAT-tiny", False),
    "630k-best": ("HTSAT-tiny", False),
    "630k-audioset-fusion-best": ("HTSAT-tiny", True),
    "630k-fusion-best": ("HTSAT-tiny", True),
    "music_speech_audioset_epoch_15_esc_89.98": ("HTSAT-base", False),
    "music_audioset_epoch_15_esc_90.14": ("HTSAT-base", False),
    "music_speech_epoch_15_esc_89.25": ("HTSAT-base", False),
}
TOKENIZER: Final = "roberta-base"
#: Size of roberta-base's vocabulary, with which every published CLAP was trained.
VOCABULARY: Final = 50_265
#: roberta-base's architecture, so that it need not be fetched; the weights are in the checkpoint.
ROBERTA: Final = {
    "vocab_size": VOCABULARY, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5,
    "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2,
}
#: Width of every CLAP that laion_clap builds.
WIDTH: Final = 512
#: Buffers that some versions of transformers save and others compute; they contain nothing learned.
_OBSOLETE: Final = ("text_branch.embeddings.position_ids", "text_branch.embeddings.token_type_ids")


class ClapEncoder(Clap):
    """A frozen CLAP.

    Args:
        model: ``HTSAT-tiny`` or ``HTSAT-base``.
        fused: the variant with feature fusion; needs torchaudio.
        weights: a name of :data:`PUBLISHED`, or a checkpoint file; ``None`` is the first published for the model.
        tokenizer: a folder with roberta-base's tokenizer (``vocab.json``, ``merges.txt``); ``None`` is the one in
            the local cache of huggingface.co.
        vocabulary: size that the tokenizer must have; another than the default fits only a training of your own.
        audio_pass: ``segment`` encodes each second alone, repeated to ten, as the library does with short sounds;
            ``video`` encodes ten seconds at once and averages the fine-grained embedding over each: ten times
            cheaper, with context, and different features.
        width: raise an error unless the model has this width.
        download: download what is not in the local cache of huggingface.co.

    Raises:
        EncoderError: weights or tokenizer are missing or do not fit, the width is another, or torchaudio is missing.
    """

    name, packages = "clap", ("torch", "laion_clap", "transformers")

    def __init__(
        self, *, model: Literal["HTSAT-tiny", "HTSAT-base"] = "HTSAT-tiny", fused: bool = False,
        weights: str | None = None, tokenizer: str | None = None, vocabulary: int = VOCABULARY,
        audio_pass: Literal["segment", "video"] = "segment", width: int | None = None, download: bool = False,
        **place: Any,
    ) -> None:
        self.check_width(WIDTH, width)
        if fused and importlib.util.find_spec("torchaudio") is None:
            raise EncoderError("clap with fused=true needs torchaudio, which is not installed; "
                               "install the torchaudio of your torch, or use fused=false")
        weights = weights or next((name for name, trained in PUBLISHED.items() if trained == (model, fused)), None)
        if weights is None:
            raise EncoderError(f"no weights of {model} with fused=true are published; give weights=FILE")
        super().__init__({"model": model, "fused": fused, "weights": weights, "tokenizer": tokenizer,
                          "vocabulary": vocabulary, "audio_pass": audio_pass}, **place)
        self.files = [key for key in ("weights", "tokenizer") if self.options[key] not in (None, *PUBLISHED)]
        path = find_weights(model, fused, weights, download)
        words = load_tokenizer(tokenizer, vocabulary, download)
        self._clap = build(model, fused, words)
        hint = f"is it {model} with fused={str(fused).lower()}?"
        state = load_whole(self._clap.model, read_state(path), path, hint, without=_OBSOLETE)
        # Under autocast too, the log-mel spectrum is in float32: its floor of 1e-10 is 0 in half floats, and the
        # logarithm of a silent band would be minus infinity.
        branch = self._clap.model.audio_branch
        for layer in (branch.spectrogram_extractor, branch.logmel_extractor):
            layer.forward = torch.autocast(self.device.type, enabled=False)(layer.forward)
        settings = {"encoder": self.name, "model": model, "fused": fused, "audio_pass": audio_pass,
                    "tokenizer": sorted(words.get_vocab().items())}
        self.revision = fingerprint(state, settings)
        self._clap.eval().requires_grad_(False).to(self.device)

    def _encode(self, waves: Float[Tensor, "N length"]) -> tuple[Float[Tensor, "N c"], Float[Tensor, "N steps c"]]:
        found = self._clap.model.encode_audio(self._inputs(waves), device=self.device)
        return found["embedding"], found["fine_grained_embedding"]

    def _project(self, embedding: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows d"]:
        return self._clap.model.audio_projection(embedding)

    def _embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        return unit(self._clap.get_text_embedding(list(texts), use_tensor=True))

    def _inputs(self, waves: Float[Tensor, "N length"]) -> dict[str, Tensor]:
        """Return the library's input for each wave: in int16 steps, repeated and zero-padded to ten seconds."""
        library = _import("laion_clap.training.data")
        steps = torch.from_numpy(library.int16_to_float32(library.float32_to_int16(waves.numpy())))
        cut = "fusion" if self._clap.enable_fusion else "rand_trunc"
        config = self._clap.model_cfg["audio_cfg"]
        inputs = [library.get_audio_features({}, wave, WINDOW * RATE, cut, "repeatpad", config) for wave in steps]
        return {key: torch.stack([one[key] for one in inputs]).to(self.device) for key in inputs[0]}


def find_weights(model: str, fused: bool, weights: str, download: bool) -> Path:
    """Return the path of the checkpoint; EncoderError says what to download and where to put it."""
    if weights not in PUBLISHED:
        if is_path(weights):
            return Path(weights)
        raise EncoderError(f"clap has no weights {weights!r}: give weights=FILE or one of {', '.join(PUBLISHED)}")
    if PUBLISHED[weights] != (model, fused):
        trained, fusion = PUBLISHED[weights]
        raise EncoderError(f"clap weights {weights} are of model={trained} fused={str(fusion).lower()}, "
                           f"not of model={model} fused={str(fused).lower()}")
    return hub_weights(f"clap weights {weights}", REPOSITORY, [f"{weights}.pt"], download)


def load_tokenizer(folder: str | None, vocabulary: int, download: bool) -> Any:
    """Load RoBERTa's tokenizer and check its size: without its files transformers silently makes an empty one."""
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
    """Build the library's module with random weights, without fetching anything."""
    # laion_clap loads all of these by name; of the tokenizers it uses RoBERTa's alone.
    replaced = {
        transformers.BertTokenizer: lambda *_, **__: tokenizer,
        transformers.BartTokenizer: lambda *_, **__: tokenizer,
        transformers.RobertaTokenizer: lambda *_, **__: tokenizer,
        transformers.RobertaModel: lambda *_, **__: transformers.RobertaModel(transformers.RobertaConfig(**ROBERTA)),
    }
    with ExitStack() as patches, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the library itself imports and calls
        for cls, replacement in replaced.items():
            patches.enter_context(mock.patch.object(cls, "from_pretrained", replacement))
        return _import("laion_clap").CLAP_Module(enable_fusion=fused, amodel=model, device="cpu")


def _import(name: str) -> ModuleType:
    """Import a module of laion_clap, and undo that the library puts its own folder on ``sys.path``."""
    before = list(sys.path)
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before
