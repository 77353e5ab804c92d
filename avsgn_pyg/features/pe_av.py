"""PE-AV (Perception Encoder Audio-Visual) as a frozen frame encoder and audio encoder, which share one model.

It embeds sound, pictures and text in one space. The frames of a second are encoded as one short video, its sound
without its neighbours. Text passes one tower, then the head trained for the modality: ``text_video_head`` or
``text_audio_head``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final
from weakref import WeakValueDictionary

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from avsgn_pyg.features.compute import FrozenEncoder, unit
from avsgn_pyg.features.pretrained import is_folder, load_model, load_part, processor_of, tokens
from avsgn_pyg.features.weights import fingerprint

DEFAULT: Final = "facebook/pe-av-small"
#: Fields of the video processor that change the pictures.
FIELDS: Final = ("size", "resample", "image_mean", "image_std", "rescale_factor", "do_resize", "do_center_crop",
                 "crop_size", "do_rescale", "do_normalize", "default_to_square")

#: Models in use, by class, weights and device, so that both encoders of one kind of weights hold them once.
_models: WeakValueDictionary[tuple[str, str, str], torch.nn.Module] = WeakValueDictionary()


@dataclass(frozen=True)
class VideoPreparation:
    """The video processor of the model, applied to each picture alone; pickled as its settings.

    Attributes:
        settings: :data:`FIELDS` of the processor.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def _processor(self) -> Any:
        return processor_of("PeVideoVideoProcessor", dict(self.settings))

    def __call__(self, frames: UInt8[Tensor, "F H W 3"]) -> Float[Tensor, "F 3 side1 side2"]:
        if not len(frames):
            return self(torch.zeros(1, 8, 8, 3, dtype=torch.uint8))[:0]
        video = frames.permute(0, 3, 1, 2).cpu()
        return self._processor([video], do_sample_frames=False, return_tensors="pt")["pixel_values_videos"][0]

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": dict(self.settings)}


class Perception(FrozenEncoder):
    """Base of the encoders of this family: one model, its tokenizer, and text."""

    packages = ("torch", "transformers")
    model_class: str
    _text_head: torch.nn.Module

    def __init__(self, weights: str, download: bool, width: int | None, **place: Any) -> None:
        super().__init__({"weights": weights}, **place)
        self.files = ["weights"] * is_folder(weights)
        self._model = self._shared(weights, download)
        self._tokenizer = load_part(self.name, "AutoTokenizer", weights, download)
        self.check_width(self._model.config.text_config.hidden_size, width)

    def _shared(self, weights: str, download: bool) -> torch.nn.Module:
        key = (self.model_class, weights, str(self.device))
        model = _models.get(key)
        if model is None:
            model = load_model(self.name, self.model_class, weights, download)
            model.fingerprint = fingerprint(model.state_dict(), {"model": self.model_class})
            _models[key] = model.to(self.device)
        return model

    def _settings(self, **more: Any) -> str:
        more |= {"encoder": self.name, "model": self._model.fingerprint}
        return fingerprint({}, {"tokenizer": sorted(self._tokenizer.get_vocab().items()), **more})

    def _embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "P d"]:
        # The library's own get_text_*_embeds call methods that do not exist (transformers 5.24).
        states = self._model.text_model(**tokens(self._tokenizer, texts, self.device), output_hidden_states=True)
        return unit(self._text_head(states.hidden_states[-1][:, 0]))


class _PeAv(Perception):
    """Both modalities of PE-AV.

    Attributes:
        joint_space: sha256 of the model; encoders with the same value embed sound, pictures and text in one space.
    """

    name = "pe_av"
    model_class = "PeAudioVideoModel"

    @property
    def joint_space(self) -> str:
        return self._model.fingerprint

    def record(self) -> dict[str, Any]:
        """Return the JSON-ready record, with the joint space."""
        return {**super().record(), "joint_space": self.joint_space}


class PeAvFrames(_PeAv):
    """Pictures by PE-AV.

    Args:
        weights: a folder with the files of a repository, or its name on huggingface.co.
        width: raise an error unless the model has this width.
        download: download what is not in the local cache of huggingface.co.

    Raises:
        EncoderError: files are missing or do not fit, or the width is another.
    """

    def __init__(
        self, *, weights: str = DEFAULT, width: int | None = None, download: bool = False, **place: Any
    ) -> None:
        super().__init__(weights, download, width, **place)
        self._text_head = self._model.video_model.text_video_head
        processor = load_part(self.name, "PeVideoVideoProcessor", weights, download).to_dict()
        self.preparation = VideoPreparation({key: processor[key] for key in FIELDS if processor.get(key) is not None})
        self.revision = self._settings(kind="visual", preparation=self.preparation.settings)

    def encode_frames(self, prepared: Float[Tensor, "F 3 side1 side2"]) -> Float[Tensor, "F d"]:
        """Return one unit vector per picture."""
        return self.encode_segments(prepared[:, None])

    def encode_segments(self, prepared: Float[Tensor, "N k 3 side1 side2"]) -> Float[Tensor, "N d"]:
        """Return one unit vector per short video of k pictures."""
        return self.in_batches(prepared, self._embed, max(1, self.batch_size // prepared.shape[1]))

    def _embed(self, videos: Float[Tensor, "N k 3 side1 side2"]) -> Float[Tensor, "N d"]:
        model = self._model.video_model
        return unit(model.video_head(model.video_encoder(videos.to(self.device)).pooler_output))


class PeAvAudio(_PeAv):
    """Sound by PE-AV, each second alone; arguments and errors are those of :class:`PeAvFrames`."""

    each_second_alone = True

    def __init__(
        self, *, weights: str = DEFAULT, width: int | None = None, download: bool = False, **place: Any
    ) -> None:
        super().__init__(weights, download, width, **place)
        self._text_head = self._model.audio_model.text_audio_head
        self.revision = self._settings(kind="audio")

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """Return one unit vector per second."""
        return self.each_second(samples, self._embed)

    def _embed(self, waves: Float[Tensor, "N length"]) -> Float[Tensor, "N d"]:
        model = self._model.audio_model
        return unit(model.audio_head(model.audio_encoder(waves[:, None].to(self.device)).pooler_output))
