"""Several events a video with times in seconds: AVSGN's alignment and interaction with a dense head.

At every point in time and for every class, the head gives a score and the distances to the start and the end of that
class's event. A distance is an expected run length: every step has a probability that the event continues into the
previous step, and one that it continues into the next step, and :func:`run_length` sums their products. The steps
around a boundary thus determine its position, whatever its distance. Two text nodes represent a class, visual and
audio, so no weight is specific to a class. This is not from the paper: the form of the output is that of anchor-free
temporal detectors (Zhang, Wu and Li, *ActionFormer*, ECCV 2022).

Shapes: B videos, T seconds (or other steps of the features), R = 2C text nodes, C classes, D width, L points.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import Batch, HeteroData

from avsgn_pyg.graph.detection import DenseOutput
from avsgn_pyg.graph.views import as_batch
from avsgn_pyg.model.avsgn import AVSGN

Mask = Bool[Tensor, "B T"] | None

#: Probability that an untrained head gives every class at every point: few points have an event.
PRIOR = 0.02
#: Logit of an untrained head that an event continues: for about seven steps.
GOES_ON = 2.0


class Tower(nn.Module):
    """Convolutions over time with layer norm and ReLU; padding stays zero, so it affects no other second."""

    def __init__(self, dim: int, layers: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(dim, dim, kernel, padding=kernel // 2) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Float[Tensor, "B T D"], mask: Mask = None) -> Float[Tensor, "B T D"]:
        """Features of the same seconds with their neighbours'."""
        for conv, norm in zip(self.convs, self.norms, strict=True):
            rows = self.dropout(norm(conv(blank(rows, mask).mT).mT).relu())
        return rows


class DenseHead(nn.Module):
    """Cross-gated seconds, a temporal pyramid of them, and for every class a score and two distances.

    Args:
        dim: D.
        rate: steps a second.
        levels: number of levels of the pyramid; each halves the steps of the one before, and learns events twice
            as long.
        reach: seconds; level n learns the events whose larger distance is ``reach 2^(n-1)`` to ``reach 2^n``, the
            first also shorter and the last also longer ones.
        layers, kernel: of the convolutions over time before the scores and before the distances.
        dropout: rate after each of them.
    """

    def __init__(self, dim: int, *, rate: int = 1, levels: int = 1, reach: float = 4.0, layers: int = 2,
                 kernel: int = 3, dropout: float = 0.1) -> None:
        super().__init__()
        self.rate, self.levels, self.reach = rate, levels, reach
        self.audio_gate, self.visual_gate = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.classify, self.bound = (Tower(dim, layers, kernel, dropout) for _ in range(2))
        self.label, self.span = nn.Linear(2 * dim, dim), nn.Linear(2 * dim, 2 * dim)
        self.bias = nn.Parameter(torch.tensor([math.log(PRIOR / (1 - PRIOR)), GOES_ON, GOES_ON]))

    def forward(self, audio: Float[Tensor, "B T D"], visual: Float[Tensor, "B T D"], text: Float[Tensor, "B R D"],
                mask: Mask = None) -> DenseOutput:
        """`text` has the visual labels first, then the audio labels; `mask` is False for padded seconds."""
        rows = visual * self.audio_gate(audio).sigmoid() + audio * self.visual_gate(visual).sigmoid()  # Eq. 9
        labels = torch.cat(text.chunk(2, dim=1), dim=-1)
        label, span = self.label(labels), self.span(labels).unflatten(-1, (2, -1)).flatten(1, 2)
        found = []
        for level in range(self.levels):
            if level:
                rows, mask = halve(rows, mask)
            found.append(self._level(level, rows, label, span, mask))
        scores, distances, times, reach, masks = zip(*found, strict=True)
        return DenseOutput(torch.cat(scores, 1), torch.cat(distances, 1), torch.cat(times),
                           None if mask is None else torch.cat(masks, 1),
                           torch.cat(reach) if self.levels > 1 else None)

    def _level(self, level: int, rows: Tensor, label: Tensor, span: Tensor, mask: Mask) -> tuple:
        step, scale = 2**level / self.rate, rows.shape[-1] ** -0.5
        scores = self.classify(rows, mask) @ label.mT * scale + self.bias[0]
        goes_on = (self.bound(rows, mask) @ span.mT * scale).unflatten(-1, (-1, 2)) + self.bias[1:]
        before, after = blank(goes_on.float().sigmoid().flatten(2), mask).unflatten(-1, (-1, 2)).unbind(-1)
        times = (torch.arange(rows.shape[1], device=rows.device, dtype=torch.float32) + 0.5) * step
        distances = torch.stack((run_length(before), run_length(after.flip(1)).flip(1)), dim=-1) * step
        ends = (0.0 if level == 0 else self.reach * 2.0 ** (level - 1),
                math.inf if level == self.levels - 1 else self.reach * 2.0**level)
        reach = torch.tensor(ends, device=rows.device).expand(len(times), 2)
        return scores, distances, times, reach, mask


class AVSGNDense(AVSGN):
    """:class:`~avsgn_pyg.model.avsgn.AVSGN` with :class:`DenseHead`; it needs text nodes of classes (``per_class``)."""

    def forward(self, data: HeteroData | Batch) -> DenseOutput:
        """Scores and distances of every point and class; videos may differ in length."""
        batch = as_batch(data)
        aligned = self.align(batch)
        interaction = self.interact(aligned, batch)
        streams = self.interacted(interaction, batch)
        output = self.head(*streams, aligned.mask)
        return replace(output, adjacency=interaction.adjacency, stages=self.stages(aligned, streams))


def run_length(goes_on: Float[Tensor, "B T C"]) -> Float[Tensor, "B T C"]:
    """Return ``n[t] = p[t] (1 + n[t - 1])``, the expected number of steps by which a run goes back from t.

    Doubling takes log2(T) steps for the recurrence, each linear in T.

    Args:
        goes_on: p, the probability that a run at t began before t.
    """
    total, product, covered = goes_on, goes_on, 1
    while covered < goes_on.shape[1]:  # steps in the longest product of `total`, and in `product`
        before = (0, 0, covered, 0)
        total = total + product * F.pad(total[:, :-covered], before)
        product = product * F.pad(product[:, :-covered], before)
        covered *= 2
    return total


def blank(rows: Float[Tensor, "B T D"], mask: Mask) -> Float[Tensor, "B T D"]:
    """The rows, zero where they are padding."""
    return rows if mask is None else rows.masked_fill(~mask[..., None], 0)


def halve(rows: Float[Tensor, "B T D"], mask: Mask) -> tuple[Float[Tensor, "B H D"],
                                                                  Bool[Tensor, "B H"] | None]:
    """The maximum of every two seconds, and their padding mask; a last second without a partner stays."""
    odd = rows.shape[1] % 2
    there = rows if mask is None else rows.masked_fill(~mask[..., None], -math.inf)
    there = F.pad(there, (0, 0, 0, odd), value=-math.inf).unflatten(1, (-1, 2)).amax(2)
    if mask is None:
        return there, None
    mask = F.pad(mask, (0, odd), value=False).unflatten(1, (-1, 2)).any(2)
    return blank(there, mask), mask
