"""ActionFormer: Zhang, Wu, Li, "ActionFormer: Localizing Moments of Actions with Transformers", ECCV 2022.

In short: features are embedded by convolutions; transformer blocks with attention to a window build a temporal pyramid,
each level half as long; two small networks of convolutions, shared by the levels, give every point a score of each
class and the distances to both boundaries. As UnAV-100's authors ran it on audio-visual data, both modalities are
concatenated; as in their own model (CVPR 2023), a point has distances for each class, because events overlap.

The published code differs: it halves by a strided convolution inside the attention, where this takes the maximum of two
steps before the block; it learns only near the middle of an event (1.5 steps of its level), normalizes losses by a
moving average of the number of events, drops whole residual paths, and refines boundaries by voting. Objective and
decoding are here those of our model (focal loss, DIoU loss, soft-NMS).

Shapes: B videos, T steps of the features, D width, H heads, C classes, L points of all levels.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.graph.views import as_batch, padded_view
from avsgn_pyg.model.dense import Tower, blank, halve

Mask = Bool[Tensor, "B T"] | None

#: Probability that an untrained head gives every class at every point.
PRIOR = 0.01


class Block(nn.Module):
    """A transformer block, norms first; a step attends to steps at most `reach` away."""

    def __init__(self, dim: int, heads: int, reach: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.project, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout),
                                  nn.Linear(4 * dim, dim))
        self.dropout, self.heads, self.reach = nn.Dropout(dropout), heads, reach

    def forward(self, rows: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
        query, key, value = self.project(self.norm(rows)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        at = torch.arange(rows.shape[1], device=rows.device)
        near = (at - at[:, None]).abs() <= self.reach
        if mask is not None:  # padding attends to itself, so that no row is without a key
            near = near & mask[:, None, None] | torch.eye(len(at), dtype=torch.bool, device=rows.device)
        attended = F.scaled_dot_product_attention(query, key, value, near).transpose(1, 2).flatten(-2)
        rows = rows + self.dropout(self.out(attended))
        return blank(rows + self.dropout(self.feed(rows)), mask)


class ActionFormer(nn.Module):
    """Embedding, pyramid, and two heads.

    Args:
        audio_width, visual_width, classes, rate: set by the data; `rate` is steps a second.
        dim: D.
        heads: H.
        window: steps of a level to which a step attends, itself in the middle.
        stem: blocks before the pyramid.
        levels: levels of the pyramid.
        reach: seconds; level n learns the events whose larger distance is ``reach 2^(n-1)`` to ``reach 2^n``, the
            first also shorter and the last also longer ones.
        dropout: rate in blocks and heads.
    """

    def __init__(self, *, audio_width: int, visual_width: int, classes: int, rate: int, dim: int = 128, heads: int = 4,
                 window: int = 19, stem: int = 2, levels: int = 4, reach: float = 4.0, dropout: float = 0.1) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"options: heads={heads} must divide dim={dim}")
        self.norms = nn.ModuleDict({AUDIO: nn.LayerNorm(audio_width), VISUAL: nn.LayerNorm(visual_width)})
        self.project = nn.Sequential(nn.Dropout(dropout), nn.Linear(audio_width + visual_width, dim))
        self.embed = Tower(dim, 2, 3, 0.0)
        self.stem, self.branch = (nn.ModuleList(Block(dim, heads, window // 2, dropout) for _ in range(count))
                                  for count in (stem, levels - 1))
        self.classify, self.bound = (Tower(dim, 2, 3, dropout) for _ in range(2))
        self.scores, self.lengths = nn.Linear(dim, classes), nn.Linear(dim, 2 * classes)
        self.scales = nn.Parameter(torch.ones(levels))
        nn.init.constant_(self.scores.bias, -math.log((1 - PRIOR) / PRIOR))
        nn.init.constant_(self.lengths.bias, 1.0)  # the ReLU lets every distance learn
        self.rate, self.reach = rate, reach

    def forward(self, data: HeteroData) -> DenseOutput:
        """Scores and distances of every point and class; videos may differ in length."""
        batch = as_batch(data)
        (audio, mask), (visual, _) = padded_view(batch, AUDIO), padded_view(batch, VISUAL)
        rows = self.project(torch.cat((self.norms[AUDIO](audio), self.norms[VISUAL](visual)), -1))
        rows = self.embed(rows, mask)
        for block in self.stem:
            rows = block(rows, mask)
        found = [self._level(0, rows, mask)]
        for level, block in enumerate(self.branch, 1):
            rows, mask = halve(rows, mask)
            rows = block(rows, mask)
            found.append(self._level(level, rows, mask))
        scores, distances, times, reach, masks = zip(*found, strict=True)
        return DenseOutput(torch.cat(scores, 1), torch.cat(distances, 1), torch.cat(times),
                           None if mask is None else torch.cat(masks, 1), torch.cat(reach))

    def _level(self, level: int, rows: Float[Tensor, "B T D"], mask: Mask) -> tuple:
        step = 2**level / self.rate
        lengths = self.lengths(self.bound(rows, mask)).unflatten(-1, (-1, 2)).float()
        times = (torch.arange(rows.shape[1], device=rows.device) + 0.5) * step
        ends = (self.reach * 2.0 ** (level - 1) if level else 0.0,
                self.reach * 2.0**level if level < len(self.branch) else math.inf)
        return (self.scores(self.classify(rows, mask)), (lengths * self.scales[level]).relu() * step, times,
                torch.tensor(ends, device=rows.device).expand(len(times), 2), mask)
