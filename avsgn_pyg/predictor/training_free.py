"""Localize the events of a clip without a trained model, from the similarity of its seconds to any labels.

    >>> from avsgn_pyg import Predictor
    >>> predictor = Predictor.training_free(["dog barking", "violin"])
    >>> print(predictor("clip.mp4").table())

``docs/training_free.md`` has the rule, its scores and its limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.data.feature_store import LabelText, read_store
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.features.encoder import PROMPTS, choose_device, label_text, make_audio_encoder, make_frame_encoder
from avsgn_pyg.features.limits import Limits
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.training_free import NONE_BELOW, SHARE, Calibration, likelihood_ratio, similarity
from avsgn_pyg.predictor.encoders import Encoders, GivenEncoders, with_download
from avsgn_pyg.predictor.inputs import read_label_list
from avsgn_pyg.predictor.localizer import ClipLocalizer

#: Seconds of a window: an event may have another class in the next one.
WINDOW: Final = 10
#: The encoders where none are given.
DEFAULT: Final = {"visual": EncoderChoice("clip"), "audio": EncoderChoice("clap")}


class TrainingFree(ClipLocalizer):
    """Localizes events of given labels by text similarity (:func:`avsgn_pyg.graph.training_free.likelihood_ratio`).

    Args:
        labels: two or more labels, or the path of a file with one label per line.
        encoders: ``visual`` and ``audio`` -> an encoder with text, or a choice of one; default: CLIP and CLAP.
        calibration: a feature store of the same encoders, of clips of the same kind; its annotations are not read.
            ``None``: every clip is calibrated on itself.
        prompts: ``visual`` and ``audio`` -> templates with ``{}`` for the label; of several, the mean is used.
        window: seconds that are localized together.
        share, none_below: of the rule.
        download: whether missing weights of the encoders may be downloaded.
        device, precision, batch_size: of the encoders.
        limits: on reading one media file.

    Raises:
        ConfigError: invalid labels or prompts, or a store of other encoders.
        DataError: a file of labels, or the store, cannot be read.
        EncoderError: the device or the precision is not available.
    """

    source = None

    def __init__(
        self, labels: Sequence[str] | str | Path, *, encoders: GivenEncoders | None = None,
        calibration: str | Path | None = None, prompts: Mapping[str, str | Sequence[str]] | None = None,
        window: int = WINDOW, share: float = SHARE, none_below: float = NONE_BELOW, download: bool = False,
        device: str = "auto", precision: str = "fp32", batch_size: int = 64,
        limits: Limits = Limits(),  # noqa: B008
    ) -> None:
        self._labels = read_label_list(labels)
        self._prompts = {kind: (given,) if isinstance(given, str) else tuple(given)
                         for kind, given in {**PROMPTS, **(prompts or {})}.items()}
        if not self._prompts.keys() <= PROMPTS.keys() or not all(self._prompts.values()):
            raise ConfigError(f"prompts={prompts}: expected one or more templates for each of {sorted(PROMPTS)}")
        self._given, self._calibration = DEFAULT | dict(encoders or {}), calibration
        if download:
            self._given = {kind: with_download(each) if isinstance(each, EncoderChoice) else each
                           for kind, each in self._given.items()}
        self._rule = {"share": share, "none_below": none_below}
        self.device = choose_device(device, precision)
        self._placement = {"device": str(self.device), "precision": precision, "batch_size": batch_size}
        self.segments, self.limits = window, limits

    @property
    def categories(self) -> tuple[str, ...]:
        """The labels."""
        return self._labels

    @property
    def widths(self) -> tuple[int, int]:
        """Widths of the encoders' audio and visual features."""
        return self.encoders.audio.width, self.encoders.visual.width

    @property
    def default_tau(self) -> float:
        """0.5: the decision of the rule."""
        return 0.5

    @cached_property
    def encoders(self) -> Encoders:
        """The encoders, loaded at first use; EncoderError if they cannot be built or have no text."""
        made = [given if not isinstance(given, EncoderChoice) else make(given, **self._placement)
                for make, given in ((make_frame_encoder, self._given["visual"]),
                                    (make_audio_encoder, self._given["audio"]))]
        return Encoders(*made, frames_per_segment=1, checked=True)

    @cached_property
    def text(self) -> LabelText:
        """The labels' embeddings, [C, da] and [C, dv]: for several prompts, the mean of the unit vectors."""
        means = {}
        for kind in PROMPTS:
            rows = [F.normalize(getattr(self._encode({kind: prompt}), kind), dim=-1) for prompt in self._prompts[kind]]
            means[kind] = torch.stack(rows).mean(0)
        return LabelText(**means)

    def _encode(self, prompt: Mapping[str, str]) -> LabelText:
        first = {kind: prompts[0] for kind, prompts in self._prompts.items()}
        return label_text(self.encoders.visual, self.encoders.audio, self._labels, first | dict(prompt))

    @cached_property
    def calibration(self) -> tuple[Calibration, Calibration] | None:
        """Audio's and visual's calibration on the store, or ``None``; ConfigError for a store of other encoders."""
        if self._calibration is None:
            return None
        store = read_store(self._calibration)
        for kind in PROMPTS:
            encoder, recorded = getattr(self.encoders, kind), store.provenance.get(kind) or {}
            if recorded.get("revision") != encoder.revision:
                raise ConfigError(f"{self._calibration}: its {kind} features are by {recorded.get('name')!r}, not by "
                                  f"this {encoder.name!r} encoder; extract the clips with the same encoders")
        inside = torch.arange(store.audio.shape[1]) < store.seconds[:, None]
        found = similarity(store.audio[inside][None], store.visual[inside][None], self.text.audio, self.text.visual)
        return Calibration.of(found.audio), Calibration.of(found.visual)

    def load(self) -> None:
        """Load the encoders, encode the labels, and measure the calibration."""
        _ = self.text, self.calibration

    def identity(self) -> dict[str, Any]:
        """Return everything besides tau that determines a clip's prediction, JSON-ready; loads the encoders."""
        from avsgn_pyg.features.weights import fingerprint  # the hub's client in it is slow to load

        calibrated = None
        if self.calibration is not None:
            calibrated = [(part.temperature, part.prior.tolist()) for part in self.calibration]
        text = {"audio": self.text.audio, "visual": self.text.visual}
        return {"model": "training-free", "labels": self.categories, "window": self.segments, **self._rule,
                "encoders": [self.encoders.visual.revision, self.encoders.audio.revision],
                "precision": self._placement["precision"], "calibration": calibrated,
                "label text": fingerprint(text, {})}

    @torch.inference_mode()
    def localize_windows(
        self, audio: Float[Tensor, "W T da"], visual: Float[Tensor, "W T dv"], seconds: int
    ) -> Localization:
        """Return class and relevance of every window by the rule; padding is left out, and gets the last second's."""
        found = similarity(audio[:, :seconds], visual[:, :seconds], self.text.audio, self.text.visual)
        return repeat_last_second(likelihood_ratio(found, *(self.calibration or ()), **self._rule), audio.shape[1])


def repeat_last_second(output: Localization, segments: int) -> Localization:
    """Return relevance and gates for `segments` seconds; those of the last second are repeated in the padding."""
    def longer(values: Float[Tensor, "B t *d"]) -> Float[Tensor, "B T *d"]:
        return torch.cat([values, *[values[:, -1:]] * (segments - values.shape[1])], dim=1)

    return Localization(output.category, longer(output.relevance),
                        gates={name: longer(gate) for name, gate in output.gates.items()})
