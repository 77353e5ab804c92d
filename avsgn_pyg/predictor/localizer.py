"""Steps of every predictor: encode a clip, localize its windows (subclasses say how), average over them, decode.

Shapes: S seconds of the video, T segments of a window, W windows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import ConfigError, DataError
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.predictor.encoders import Encoders
from avsgn_pyg.predictor.encoding import EncodedClip, Watch, encode_clip, encode_clips, pad
from avsgn_pyg.predictor.prediction import Prediction
from avsgn_pyg.predictor.windows import average, cut, window_starts


class ClipLocalizer(ABC):
    """Localizes the events of clips of any length, from windows of T seconds.

    Attributes:
        segments: T.
        rate: features a second.
        padded: whether a clip shorter than T is padded.
        finds_several: whether predictions have several events with float times (:attr:`.Prediction.found`).
        limits: on reading one media file; a clip that exceeds one is refused.
        encoders: of clips; features do not need them.
        source: the folder of the model, or ``None``.
        device: of the encoders.
    """

    segments: int
    rate = 1
    padded = True
    finds_several = False
    limits: Limits
    encoders: Encoders
    source: Path | None
    device: torch.device

    @property
    @abstractmethod
    def categories(self) -> tuple[str, ...]:
        """Class names in index order."""

    @property
    @abstractmethod
    def widths(self) -> tuple[int, int]:
        """Widths of audio and of visual features."""

    @property
    @abstractmethod
    def default_tau(self) -> float:
        """The relevance threshold where none is given."""

    @abstractmethod
    def load(self) -> None:
        """Load everything that clips need, so that errors are raised before the first clip."""

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Return everything besides tau that determines a clip's prediction, JSON-ready; loads the encoders."""

    @abstractmethod
    def localize_windows(
        self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int
    ) -> Localization:
        """Return logits and gates for every window of a video of `seconds`, float32 on the CPU.

        In a video shorter than T, the seconds after its end are padding.
        """

    def __call__(self, clip: str | Path, *, tau: float | None = None) -> Prediction:
        """Localize the events of a clip of any length.

        Args:
            clip: a media file; a missing video or audio track is noted, and replaced as in extraction.
            tau: relevance threshold in [0, 1); ``None``: the config's ``evaluate.tau``.

        Raises:
            MediaError: the file cannot be read.
            EncoderError: the encoders are not available, or are not those of the training.
            ConfigError: tau is out of range, or the model is decoded without one.
        """
        self.check_tau(tau)
        return self.localize_encoded(Path(clip), self.encode(Path(clip)), tau=tau)

    def encode(self, clip: Path, watch: Watch | None = None) -> EncodedClip:
        """Return the features of a clip's windows; `watch` is called with every second read, errors are a call's."""
        return encode_clip(clip, **self._encoding(), watch=watch)

    def encode_all(
        self, clips: Iterable[Path], skip: Callable[[Path], bool]
    ) -> Iterator[tuple[Path, EncodedClip | Exception | None]]:
        """Encode clips as :func:`.encoding.encode_clips` does; on a GPU, several in one batch."""
        return encode_clips(clips, **self._encoding(), skip=skip, together=self.device.type != "cpu")

    def _encoding(self) -> dict[str, Any]:
        encoders = self.encoders
        return {"frame_encoder": encoders.visual, "audio_encoder": encoders.audio, "segments": self.segments,
                "frames_per_segment": encoders.frames_per_segment, "rate": encoders.rate, "padded": self.padded,
                "limits": self.limits}

    def localize_encoded(self, clip: Path, encoded: EncodedClip, *, tau: float | None = None) -> Prediction:
        """Localize the events of a clip that :meth:`encode` encoded; errors are those of a call."""
        prediction = self._predict(clip.name, encoded.audio, encoded.visual, encoded.seconds, tau)
        return replace(prediction, path=clip, duration=encoded.duration, seen=encoded.seen, heard=encoded.heard,
                       notes=encoded.notes)

    def localize(
        self, audio: Tensor | np.ndarray, visual: Tensor | np.ndarray, *, tau: float | None = None,
        name: str = "features",
    ) -> Prediction:
        """Localize the events of a video given by its features; below T seconds, the last one is repeated.

        Args:
            audio, visual: [S, da] and [S, dv], tensors or arrays of numbers; with `rate` rows a second, S is that many
                times the seconds.

        Raises:
            DataError: no second, another shape than the model's, NaN or infinity.
            ConfigError: as for a call.
        """
        widths, given = self.widths, (audio, visual)
        try:
            audio, visual = (rows.detach().float().cpu() if isinstance(rows, Tensor) else
                             torch.tensor(np.asarray(rows).astype(np.float32, casting="same_kind")) for rows in given)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name}: expected tensors or arrays of numbers ({error})") from None
        shapes = [list(rows.shape) for rows in (audio, visual)]
        count = shapes[0][0] if shapes[0] else 0
        if not count or count % self.rate or shapes != [[count, width] for width in widths]:
            raise DataError(f"{name}: expected audio [S, {widths[0]}] and visual [S, {widths[1]}] of the same seconds, "
                            f"one or more, with {self.rate} rows each, got {shapes[0]} and {shapes[1]}")
        for kind, rows in (("audio", audio), ("visual", visual)):
            if bool((bad := ~rows.isfinite().all(-1)).any()):
                raise DataError(f"{name}: {kind} features have NaN or infinity in second "
                                f"{int(bad.nonzero()[0]) // self.rate}")
        seconds = len(audio) // self.rate
        length = self.segments if self.padded else min(self.segments, seconds)
        windows = (cut(pad(each, length * self.rate).unflatten(0, (-1, self.rate)), length).flatten(1, 2)
                   for each in (audio, visual))
        return self._predict(name, *windows, seconds, tau)

    def check_tau(self, tau: float | None) -> float | None:
        """Return the threshold in use: the one given, or the default; ConfigError for one that cannot be used."""
        tau = self.default_tau if tau is None else tau
        if not (math.isfinite(tau) and 0 <= tau < 1):
            raise ConfigError(f"tau={tau}: expected a threshold in [0, 1), such as 0.6")
        return tau

    def _predict(
        self, name: str, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int,
        tau: float | None,
    ) -> Prediction:
        """Average the windows' probabilities for every second, and decode them."""
        tau, starts = self.check_tau(tau), window_starts(seconds, self.segments)
        output = self.localize_windows(audio, visual, seconds)
        if output.segment_scores is None:
            relevance = average(output.relevance.sigmoid(), starts, seconds)
            classes = output.category.softmax(-1)[:, None].expand(-1, self.segments, -1)
            category = average(classes, starts, seconds)
            labels = torch.where(relevance > tau, category.argmax(-1), len(self.categories))
        else:
            scores = average(output.segment_scores.softmax(-1), starts, seconds)
            labels, relevance = scores.argmax(-1), scores[:, :-1].sum(-1)
            category = scores[:, :-1] / relevance[:, None].clamp_min(torch.finfo(torch.float32).tiny)
        gates = {key: average(gate.mean(-1), starts, seconds) for key, gate in output.gates.items()}
        return Prediction(name, None, self.categories, float(seconds), relevance, category, gates, labels, tau,
                          padded=max(0, self.segments - seconds), source=self.source)
