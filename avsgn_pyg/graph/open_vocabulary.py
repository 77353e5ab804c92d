"""Classes that were not trained: a video scored against any label by the encoders' own text.

CLIP's and CLAP's text towers share a space with their pictures and sounds (Section 3.2), so a label needs no training
to be compared with a video. What was trained stays in use: the relevance says which seconds count.

    a = sum over t of r_t * a_t, v = sum over t of r_t * v_t, both normalized to unit length
    score of label l = cos(a, A_l) / temperature_audio + cos(v, V_l) / temperature_visual

Shapes: B videos, T segments, L labels, a_t / v_t encoder features of a second, r_t its relevance (a probability),
A_l / V_l the label's embedding by the audio and the visual encoder's text tower.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class Temperatures(NamedTuple):
    """By what cosines are divided before they are added and a softmax takes them; positive."""

    audio: float
    visual: float


#: About what CLIP and CLAP were trained with (their learnt logit scales end near 100 and 20 to 50); uncalibrated.
DEFAULT: Final = Temperatures(0.03, 0.01)


def pooled(features: Float[Tensor, "B T d"], relevance: Float[Tensor, "B T"]) -> Float[Tensor, "B d"]:
    """The relevance-weighted mean of the seconds at unit length; of seconds without any relevance, their plain mean."""
    weight = relevance / relevance.sum(-1, keepdim=True).clamp_min(torch.finfo(relevance.dtype).tiny)
    weight = torch.where(relevance.sum(-1, keepdim=True) > 0, weight, 1 / relevance.shape[1])
    return F.normalize(torch.einsum("bt,btd->bd", weight, features), dim=-1)


def label_scores(
    audio: Float[Tensor, "B T da"],
    visual: Float[Tensor, "B T dv"],
    relevance: Float[Tensor, "B T"],
    audio_text: Float[Tensor, "L da"],
    visual_text: Float[Tensor, "L dv"],
    temperatures: Temperatures = DEFAULT,
) -> Float[Tensor, "B L"]:
    """Logits of every label: a softmax over L reads them as probabilities.

    Raises:
        ValueError: a temperature that is not positive.
    """
    if not all(temperature > 0 for temperature in temperatures):
        raise ValueError(f"temperatures={tuple(temperatures)} divide cosines and must be positive")
    heard = pooled(audio, relevance) @ F.normalize(audio_text, dim=-1).T
    seen = pooled(visual, relevance) @ F.normalize(visual_text, dim=-1).T
    return heard / temperatures.audio + seen / temperatures.visual
