"""CLAP as a frozen audio encoder, by the classes of transformers: no laion_clap, and any version of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.compute import (
    RATE,
    autocast,
    check_width,
    choose_device,
    describe,
    in_batches,
    in_windows,
    second_shares,
    unit,
)
from avsgn_pyg.features.pretrained import is_folder, load_model, load_part, tokens
from avsgn_pyg.features.weights import fingerprint

DEFAULT: Final = "laion/clap-htsat-unfused"


class HfClapEncoder:
    """A frozen CLAP of transformers, fused or not.

    Args:
        weights: a folder with the files of a repository, or its name on huggingface.co.
        audio_pass: ``segment`` encodes each second alone, repeated to ten; ``video`` encodes ten seconds at once and
            averages over each, as :class:`avsgn_pyg.features.clap.ClapEncoder` does.
        width: raise an error unless the model has this width.
        download: download what is not in the local cache of huggingface.co.

    Raises:
        EncoderError: files are missing or do not fit, or the width is another.
    """

    name = "hf_clap"

    def __init__(
        self, *, weights: str = DEFAULT, audio_pass: Literal["segment", "video"] = "segment",
        width: int | None = None, download: bool = False,
        device: str | torch.device = "cpu", precision: str = "fp32", batch_size: int = 64,
    ) -> None:
        self._options = {"weights": weights, "audio_pass": audio_pass}
        self.device, self.precision, self.batch_size = choose_device(str(device), precision), precision, batch_size
        self._model = load_model(self.name, "ClapModel", weights, download)
        self._extractor = load_part(self.name, "ClapFeatureExtractor", weights, download)
        self._tokenizer = load_part(self.name, "AutoTokenizer", weights, download)
        self.width = check_width(self.name, self._model.config.projection_dim, width)
        self.each_second_alone = audio_pass == "segment"
        self.revision = fingerprint(self._model.state_dict(), {
            "encoder": self.name, "audio_pass": audio_pass, "fused": self._model.config.audio_config.enable_fusion,
            "extractor": {key: value for key, value in self._extractor.to_dict().items() if "mel_filters" not in key},
            "tokenizer": sorted(self._tokenizer.get_vocab().items()),
        })
        self._model.to(self.device)

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """Return one unit vector per second; ``audio_pass`` decides whether it depends on the seconds around it."""
        if not self.each_second_alone:
            return in_windows(samples, self._embed_seconds, self.batch_size, self.width)
        return in_batches(samples.flatten(0, 1), self._embed, self.batch_size, self.width).unflatten(
            0, samples.shape[:2])

    def encode_text(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        """Return one unit vector per text."""
        return in_batches(texts, self._embed_texts, self.batch_size, self.width)

    def record(self) -> dict[str, Any]:
        """Return the JSON-ready record; see :func:`avsgn_pyg.features.compute.describe`."""
        files = ["weights"] if is_folder(self._options["weights"]) else []
        return describe(self, self._options, ("torch", "transformers"), files)

    def _embed(self, waves: Float[Tensor, "N length"]) -> Float[Tensor, "N d"]:
        with autocast(self.device, self.precision):
            return unit(self._model.audio_projection(self._encode(waves).pooler_output))

    def _embed_seconds(self, waves: Float[Tensor, "N length"]) -> Float[Tensor, "N 10 d"]:
        with autocast(self.device, self.precision):
            steps = self._encode(waves).last_hidden_state.mean(2).mT  # [N, steps, channels], averaged over frequencies
            return unit(self._model.audio_projection(second_shares(steps.shape[1]).to(steps) @ steps))

    def _encode(self, waves: Float[Tensor, "N length"]) -> Any:
        found = self._extractor(list(waves.cpu().numpy()), sampling_rate=RATE, return_tensors="pt")
        # Where no sound is longer than ten seconds, the extractor of a fused model declares a random one to be.
        longer = torch.zeros(len(waves), 1, dtype=torch.bool, device=self.device)
        return self._model.audio_model(input_features=found["input_features"].to(self.device), is_longer=longer)

    def _embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        with autocast(self.device, self.precision):
            return unit(self._model.get_text_features(**tokens(self._tokenizer, texts, self.device)).pooler_output)
