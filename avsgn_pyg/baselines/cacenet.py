"""CACE-Net: He, Liu, Li, Zhao, Shen, Kong, Yang, Zeng, "CACE-Net: Co-guidance Attention and Contrastive Enhancement
for Effective Audio-Visual Event Localization", MM 2024.

In short: CMBS with two changes. *Co-guidance*: audio guides vision as in CMBS, and vision guides audio: the audio
stream attends to itself, ``a' = LN(a + attention)``; the visual stream attends to it with the result g, which amplifies
the audio channels, ``a + psi sigmoid(g) a``. *Contrastive enhancement*: a layer projects the fused seconds; the
projections of a video's event seconds, with and without added noise, are pulled together and pushed away from
background (supervised contrast, temperature .01); lambda times the projection is added to the fused second before
its relevance is computed. (The paper's third part, encoders fine-tuned on AVE, concerns features and is not used.)

On segment vectors the guided attention keeps its channel weights and both visual views; the parts that compare
regions are left out.

The published code differs: (a) the contrast joins the sum after an eighth of the epochs (``contrast_from``), and the
projection is added to the fused second from then on, so the network changes during training; here it is added
from the start, as it is at test time; (b) the class is computed from the fused seconds without it, as here;
(c) both visual views share one norm and a second norm is never used; here each has its own; (d) its contrast needs
double precision, where ``exp(1 / .01)`` does not overflow; here it is computed in logarithms; (e) the products of
queries and keys are not scaled, as here; (f) it has CMBS's double sigmoid of the gates (``double_sigmoid``), and a
third of its weights are never trained; (g) it selects the epoch on the test split. A summary of the paper was
available but not its equations: those here are the code's. No weak result is known; the code's weak class cannot be
built (it refers to missing parts) and no script trains it. The weak row here is CMBS's with co-guidance, without the
contrast, which needs segment labels.

Shapes: B videos, T segments, D width, C classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.baselines.common import FULL_ONLY, WEAK_ONLY, joint_term
from avsgn_pyg.baselines.regions import NoMixing, RegionMixing, Regions, region_streams
from avsgn_pyg.baselines.suppression import (
    ActivationLevel,
    EventLevel,
    GuidedAttention,
    Stream,
    SuppressedRelations,
    activation_term,
    gate_term,
)
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.model.losses import Objective, Term, at_least_single, category_term, relevance_term

#: Key of the projected seconds: ``output.stages[CONTRAST]["fused"]``, and with noise, ``"noisy"``.
CONTRAST = "contrast"


class UnscaledAttention(nn.Module):
    """One head without a scale: ``softmax(W q (U m)^T) V m``, as wide as the memory."""

    def __init__(self, width: int, memory_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, memory_width)
        self.key, self.value = (nn.Linear(memory_width, memory_width) for _ in range(2))

    def forward(self, rows: Float[Tensor, "B T q"], memory: Float[Tensor, "B M m"]) -> Float[Tensor, "B T m"]:
        return (self.query(rows) @ self.key(memory).mT).softmax(-1) @ self.value(memory)


class CoGuidance(nn.Module):
    """Audio guides vision and vision guides audio; returns the new audio and visual features."""

    def __init__(self, audio_width: int, width: int, beta: float, psi: float, regions: bool) -> None:
        super().__init__()
        self.sight = GuidedAttention(audio_width, width, beta, regions)
        self.mix = RegionMixing(width) if regions else NoMixing()
        self.view, self.view_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.listen, self.audio_norm = UnscaledAttention(audio_width, audio_width), nn.LayerNorm(audio_width)
        self.sound = UnscaledAttention(width, audio_width)
        self.dropout = nn.Dropout(0.2)
        self.psi = psi

    def forward(self, audio: Float[Tensor, "B T a"], visual: Regions
                ) -> tuple[Float[Tensor, "B T a"], Float[Tensor, "B T v"]]:
        view = self.view_norm(visual + self.dropout(self.mix(visual, self.view(visual)))).mean(-2)
        attended = self.audio_norm(audio + self.dropout(self.listen(audio, audio)))
        guided = audio * (1 + self.psi * self.sound(view, attended).sigmoid())
        return guided, self.sight(audio, visual)


class Noise(nn.Module):
    """Gaussian noise of standard deviation `size`, in training only."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = size

    def forward(self, rows: Tensor) -> Tensor:
        return rows + self.size * torch.randn_like(rows) if self.training else rows


class ContrastLevel(EventLevel):
    """CMBS's heads, with the relevance computed from ``f + lambda p(f)``; also returns the projections to contrast."""

    def __init__(self, dim: int, classes: int, gamma: float, enhance: float, noise: float) -> None:
        super().__init__(dim, classes, gamma)
        self.project = nn.Sequential(nn.Linear(dim, dim), nn.ReLU())
        self.noise, self.enhance = Noise(noise), enhance

    def forward(self, audio: Stream, visual: Stream, fused: Stream, gates: dict[str, Tensor]) -> Localization:
        projected = self.project(fused)
        relevance = self.heads.relevance(fused + self.enhance * projected).squeeze(-1)
        stages = {CONTRAST: {"fused": projected, "noisy": self.project(self.noise(fused))}}
        return replace(super().forward(audio, visual, fused, gates), relevance=relevance, stages=stages)


class CACENet(SuppressedRelations):
    """The network. Defaults are those of the full setting; the weak YAML has CMBS's weak ones.

    Args:
        audio_width, visual_width, segments, classes, supervision, regions: set by the data and the objective.
        psi: weight of the guidance of audio by vision.
        enhance, noise: lambda and the standard deviation of the noise, under full supervision.
        dim, alpha, beta, gamma, recurrent, heads, heads_interaction, hidden, hidden_across, visual_dim: as for
            :class:`avsgn_pyg.baselines.cmbs.CMBS`.
    """

    only: ClassVar = {"enhance": FULL_ONLY, "noise": FULL_ONLY}

    def __init__(self, *, audio_width: int, visual_width: int, segments: int, classes: int, supervision: str,
                 regions: bool = False, psi: float = 0.3, enhance: float = 0.6, noise: float = 0.1, dim: int = 256,
                 alpha: float = 0.1, beta: float = 0.4, gamma: float = 0.3, recurrent: bool = True, heads: int = 4,
                 heads_interaction: int = 4, hidden: int = 1024, hidden_across: int = 512,
                 visual_dim: int = 512) -> None:
        localize = {"full": lambda: ContrastLevel(dim, classes, gamma, enhance, noise),
                    "weak": lambda: ActivationLevel(dim, classes, gamma)}[supervision]
        super().__init__(
            audio_width=audio_width, visual_width=visual_width, supervision=supervision, dim=dim, alpha=alpha,
            recurrent=recurrent, heads=heads, heads_interaction=heads_interaction, hidden=hidden,
            hidden_across=hidden_across, visual_dim=visual_dim,
            guide=lambda: CoGuidance(audio_width, visual_dim, beta, psi, regions), localize=localize)

    def forward(self, batch: HeteroData) -> Localization:
        audio, visual = region_streams(batch)
        return self.relate(*self.guide(audio, self.regions(visual)))


def contrast_loss(rows: Stream, noisy: Stream, target: Float[Tensor, "B T"], temperature: float
                  ) -> Float[Tensor, ""]:
    """Contrast of event and background within each video, mean over all seconds with and without noise.

    ``-log(P / A)``: A sums ``exp(cos / temperature)`` over all other rows of the video, P averages it over the
    positives of a row: for an event second, all other rows of the event; for background, the other row of the second.
    """
    unit = F.normalize(at_least_single(torch.cat((rows, noisy), 1)), dim=-1)
    similarity = unit @ unit.mT / temperature
    event = torch.cat((target, target), 1) > 0
    second = torch.arange(rows.shape[1], device=rows.device).repeat(2)
    itself = torch.eye(len(second), dtype=torch.bool, device=rows.device)
    positive = (event[:, :, None] & event[:, None] | (second[:, None] == second)) & ~itself
    every = similarity.masked_fill(itself, -torch.inf).logsumexp(-1)
    own = similarity.masked_fill(~positive, -torch.inf).logsumexp(-1) - positive.sum(-1).log()
    return (every - own).mean()


class CACENetObjective(Objective):
    """Full: CMBS's four losses and the contrast. Weak: CMBS's.

    Args:
        supervision: ``full`` or ``weak``.
        gate_weight, activation_weight: weights of the losses at the time level and at the event level.
        contrast_weight: weight of the contrastive loss.
        contrast_from: fraction of the epochs after which this loss joins the sum.
        temperature: of the contrastive loss, more than 0.
        double_sigmoid: use the gate loss of the published code.
        video_loss: the weak loss; the published code uses ``soft_margin``.
    """

    only: ClassVar = {"gate_weight": FULL_ONLY, "activation_weight": FULL_ONLY, "contrast_weight": FULL_ONLY,
                      "contrast_from": FULL_ONLY, "temperature": FULL_ONLY, "double_sigmoid": FULL_ONLY,
                      "video_loss": WEAK_ONLY}

    def __init__(self, *, supervision: str, gate_weight: float = 1.0, activation_weight: float = 1.0,
                 contrast_weight: float = 1.0, contrast_from: float = 0.125, temperature: float = 0.01,
                 double_sigmoid: bool = False,
                 video_loss: Literal["cross_entropy", "soft_margin"] = "cross_entropy") -> None:
        if not temperature:
            raise ValueError("temperature=0 divides cosines by zero; it must be more than 0, such as 0.01")

        def contrast(output: Localization, _: Tensor, relevance: Tensor) -> Tensor:
            stage = output.stages[CONTRAST]
            return contrast_loss(stage["fused"], stage["noisy"], relevance, temperature)

        super().__init__(
            supervision,
            full={"relevance": Term(relevance_term), "category": Term(category_term()),
                  "gate": Term(gate_term(double_sigmoid), gate_weight),
                  "activation": Term(activation_term, activation_weight),
                  "contrast": Term(contrast, contrast_weight, since=contrast_from)},
            weak={"mil": Term(joint_term(video_loss))},
        )
