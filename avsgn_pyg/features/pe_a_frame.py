"""PE-A-Frame (Perception Encoder Audio Frame) as a frozen audio encoder: vectors every 40 ms, averaged to seconds."""

from __future__ import annotations

from typing import Any, Final

from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.features.compute import RATE, unit
from avsgn_pyg.features.pe_av import Perception

DEFAULT: Final = "facebook/pe-a-frame-base"
#: Seconds that are encoded at once, which bounds the memory of attention; shorter clips are encoded whole.
LONGEST: Final = 30


class PeAFrameEncoder(Perception):
    """A frozen PE-A-Frame: a second's features depend on the clip around it.

    Args:
        weights: a folder with the files of a repository, or its name on huggingface.co.
        width: raise an error unless the model has this width.
        download: download what is not in the local cache of huggingface.co.

    Raises:
        EncoderError: files are missing or do not fit, or the width is another.
    """

    name = "pe_a_frame"
    model_class = "PeAudioFrameLevelModel"

    def __init__(
        self, *, weights: str = DEFAULT, width: int | None = None, download: bool = False, **place: Any
    ) -> None:
        super().__init__(weights, download, width, **place)
        self._text_head = self._model.text_audio_head
        self.revision = self._settings(longest=LONGEST)

    def encode_audio(self, samples: Float[Tensor, "V S 48000"]) -> Float[Tensor, "V S d"]:
        """Return one unit vector per second, the mean over its steps of 40 ms."""
        return self.in_windows(samples, self._embed_seconds, LONGEST)

    def _embed_seconds(self, waves: Float[Tensor, "N length"]) -> Float[Tensor, "N seconds d"]:
        steps = self._model.audio_head(self._model.audio_encoder(waves[:, None].to(self.device)).last_hidden_state)
        return unit(steps.float().unflatten(1, (waves.shape[1] // RATE, -1)).mean(2))
