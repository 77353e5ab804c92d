"""CLAP as a frozen audio encoder, by the classes of transformers: no laion_clap, and any version of numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.compute import RATE, FrozenEncoder, second_shares, unit
from avsgn_pyg.features.pretrained import is_folder, load_model, load_part, tokens
from avsgn_pyg.features.weights import fingerprint

DEFAULT: Final = "laion/clap-htsat-unfused"


class Clap(FrozenEncoder):
    """Base of both encoders of CLAP, whose option `audio_pass` says whether a second is encoded alone."""

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """Return one unit vector per second; ``audio_pass`` decides whether it depends on the seconds around it."""
        if self.each_second_alone:
            return self.each_second(samples.cpu(), self._embed)
        return self.in_windows(samples.cpu(), self._embed_seconds)

    @property
    def each_second_alone(self) -> bool:
        return self.options["audio_pass"] == "segment"

    def _embed(self, waves: Float[Tensor, "N length"]) -> Float[Tensor, "N d"]:
        return unit(self._project(self._encode(waves)[0]))

    def _embed_seconds(self, waves: Float[Tensor, "N length"]) -> Float[Tensor, "N 10 d"]:
        _, steps = self._encode(waves)
        return unit(self._project(second_shares(steps.shape[1]).to(steps) @ steps))

    def _encode(self, waves: Float[Tensor, "N length"]) -> tuple[Float[Tensor, "N c"], Float[Tensor, "N steps c"]]:
        """Return the embedding of sounds, repeated to ten seconds, and those of their steps; neither is projected."""
        raise NotImplementedError

    def _project(self, embedding: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows d"]:
        raise NotImplementedError


class HfClapEncoder(Clap):
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

    name, packages = "hf_clap", ("torch", "transformers")

    def __init__(
        self, *, weights: str = DEFAULT, audio_pass: Literal["segment", "video"] = "segment",
        width: int | None = None, download: bool = False, **place: Any,
    ) -> None:
        super().__init__({"weights": weights, "audio_pass": audio_pass}, **place)
        self.files = ["weights"] * is_folder(weights)
        self._model = load_model(self.name, "ClapModel", weights, download)
        self._extractor = load_part(self.name, "ClapFeatureExtractor", weights, download)
        self._tokenizer = load_part(self.name, "AutoTokenizer", weights, download)
        self.check_width(self._model.config.projection_dim, width)
        self.revision = fingerprint(self._model.state_dict(), {
            "encoder": self.name, "audio_pass": audio_pass, "fused": self._model.config.audio_config.enable_fusion,
            "extractor": {key: value for key, value in self._extractor.to_dict().items() if "mel_filters" not in key},
            "tokenizer": sorted(self._tokenizer.get_vocab().items()),
        })
        self._model.to(self.device)

    def _encode(self, waves: Float[Tensor, "N length"]) -> tuple[Float[Tensor, "N c"], Float[Tensor, "N steps c"]]:
        inputs = self._extractor(list(waves.numpy()), sampling_rate=RATE, return_tensors="pt")
        # Where no sound is longer than ten seconds, the extractor of a fused model declares a random one to be.
        longer = torch.zeros(len(waves), 1, dtype=torch.bool, device=self.device)
        found = self._model.audio_model(input_features=inputs["input_features"].to(self.device), is_longer=longer)
        return found.pooler_output, found.last_hidden_state.mean(2).mT  # averaged over frequencies

    def _project(self, embedding: Float[Tensor, "*rows c"]) -> Float[Tensor, "*rows d"]:
        return self._model.audio_projection(embedding)

    def _embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        return unit(self._model.get_text_features(**tokens(self._tokenizer, texts, self.device)).pooler_output)
