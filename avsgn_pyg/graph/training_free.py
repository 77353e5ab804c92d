"""Localize events without any training, from the similarity of seconds to label text.

CLIP's and CLAP's text share a space with their pictures and sounds, so the cosines of a second to the text of C labels
say how likely each label is seen, and heard. :func:`likelihood_ratio` is this project's rule; :func:`agreement` is the
training-free baseline of OV-AVEL (Zhou et al., CVPR 2025), and :func:`geometric_mean` a plain rule to compare with.

Shapes: B clips, T seconds, C labels, d_a / d_v widths of the encoders, M seconds of any clips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from avsgn_pyg.graph.localization import Localization

#: Temperature of the softmax over labels, in standard deviations of the cosines.
SPREAD: Final = 0.6
#: A second is heard (seen) if the label is at least this likely, relative to the clip's most likely second.
SHARE: Final = 0.05
#: A clip has an event only if sound and picture together make the best label this many times as likely as chance.
NONE_BELOW: Final = 5.0
#: The same for few labels, in multiples of C: C labels can reach at most C^2 times chance.
NONE_BELOW_OF_FEW: Final = 2 / 3


@dataclass(frozen=True, eq=False)
class Similarity:
    """Cosines of seconds to labels: `audio` and `visual`, both [B, T, C]."""

    audio: Float[Tensor, "B T C"]
    visual: Float[Tensor, "B T C"]


@dataclass(frozen=True, eq=False)
class Calibration:
    """Scale of the cosines and probability of every label for one modality, measured on clips without annotations.

    Attributes:
        temperature: of the softmax over labels.
        prior: [C] mean probability of each label, by which a probability is divided, because some labels are similar
            to every second.
    """

    temperature: float
    prior: Float[Tensor, "C"]

    @classmethod
    def of(cls, cosines: Float[Tensor, "*M C"], *, prior: bool = True, spread: float = SPREAD) -> Calibration:
        """Measure cosines of any seconds; without `prior`, every label is taken as equally probable."""
        rows = cosines.flatten(0, -2)
        temperature = max(spread * float(rows.std(correction=0)), torch.finfo(rows.dtype).tiny)
        labels = rows.shape[-1]
        mean = (rows / temperature).softmax(-1).mean(0) if prior else rows.new_full((labels,), 1 / labels)
        return cls(temperature, mean)

    def __call__(self, cosines: Float[Tensor, "*B C"]) -> Float[Tensor, "*B C"]:
        """Probabilities of the labels if all were equally frequent."""
        return (cosines / self.temperature - self.prior.to(cosines).log()).softmax(-1)


def similarity(audio: Float[Tensor, "B T da"], visual: Float[Tensor, "B T dv"], audio_text: Float[Tensor, "C da"],
               visual_text: Float[Tensor, "C dv"]) -> Similarity:
    """Return the cosines of every second to every label."""
    unit = [F.normalize(rows.float(), dim=-1) for rows in (audio, visual, audio_text, visual_text)]
    return Similarity(unit[0] @ unit[2].T, unit[1] @ unit[3].T)


def smooth(values: Float[Tensor, "B T"]) -> Float[Tensor, "B T"]:
    """The mean of a second and its two neighbours; the first and the last second count as their own neighbour."""
    return F.avg_pool1d(F.pad(values[:, None], (1, 1), mode="replicate"), 3, stride=1)[:, 0]


def likelihood_ratio(found: Similarity, audio: Calibration | None = None, visual: Calibration | None = None, *,
                     share: float = SHARE, smoothing: bool = True, none_below: float = NONE_BELOW) -> Localization:
    """Return class and relevance of clips by this project's training-free rule.

    1. Cosines become probabilities by a softmax at :data:`SPREAD` standard deviations, divided by the prior of each
       label; both are measured on unannotated clips (`audio`, `visual`), or, without these, the deviation on the
       given clips and a uniform prior.
    2. The class of a clip is the label whose mean probability by sound, times that by picture, is highest: it is heard
       at some time and seen at some time.
    3. A second belongs to the event if the probability of the class, averaged over three seconds, is at least `share`
       of its maximum in the clip, for sound and for picture.
    4. If the product of step 2 is less than `none_below` times its value by chance, or, of few labels, less than
       :data:`NONE_BELOW_OF_FEW` times C of it, the clip has no event.

    Returns:
        category: logits whose softmax is the normalized product of step 2. relevance: above 0 in event seconds, the log
        of the smaller of both relative probabilities over `share`. gates: the relative probabilities.
    """
    audio = audio or Calibration.of(found.audio, prior=False)
    visual = visual or Calibration.of(found.visual, prior=False)
    heard, seen = audio(found.audio), visual(found.visual)
    joint = heard.mean(1) * seen.mean(1)
    best = joint.argmax(-1)[:, None, None].expand(-1, heard.shape[1], 1)
    tiny = torch.finfo(joint.dtype).tiny
    relative = {}
    for name, probability in (("audio", heard), ("visual", seen)):
        values = probability.gather(-1, best)[..., 0]
        values = smooth(values) if smoothing else values
        relative[name] = values / values.amax(1, keepdim=True).clamp_min(tiny)
    labels = joint.shape[-1]
    event = joint.amax(-1, keepdim=True) * labels**2 >= min(none_below, NONE_BELOW_OF_FEW * labels)
    relevance = (torch.minimum(*relative.values()) * event / share).clamp_min(tiny).log()
    return Localization(joint.clamp_min(tiny).log(), relevance,
                        gates={name: values[..., None] for name, values in relative.items()})


def agreement(found: Similarity) -> Localization:
    """OV-AVEL's training-free rule: a second is an event if sound and picture have the same best label.

    Every second has a class of its own, so this returns `segment_scores`, 1 for the label on which both agree and for
    background where they do not.
    """
    heard, seen = found.audio.argmax(-1), found.visual.argmax(-1)
    labels = found.audio.shape[-1]
    scores = F.one_hot(torch.where(heard == seen, heard, labels), labels + 1).float()
    return Localization(scores[..., :-1].sum(1), scores[..., :-1].sum(-1) - 0.5, segment_scores=scores)


def geometric_mean(found: Similarity, *, temperatures: tuple[float, float] = (0.07, 0.05),
                   threshold: float = 0.05) -> Localization:
    """The geometric mean of both softmaxes, averaged over three seconds; the class by its mean over the clip.

    A second is an event if the class has more than `threshold` there.
    """
    audio, visual = ((cosines / temperature).softmax(-1)
                     for cosines, temperature in zip((found.audio, found.visual), temperatures, strict=True))
    both = (audio * visual).sqrt()
    both = smooth(both.mT.flatten(0, 1)).unflatten(0, (len(both), -1)).mT
    category = both.mean(1)
    best = category.argmax(-1)[:, None, None].expand(-1, both.shape[1], 1)
    tiny = torch.finfo(both.dtype).tiny
    relevance = (both.gather(-1, best)[..., 0] / threshold).clamp_min(tiny).log()
    return Localization(category.clamp_min(tiny).log(), relevance)
