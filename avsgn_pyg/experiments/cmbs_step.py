"""A training step of a network of CMBS's published shape, as a reference for the time of AVSGN's step.

CMBS: Xia and Zhao, "Cross-Modal Background Suppression for Audio-Visual Event Localization", CVPR 2022. Written from
the paper's description, for its cost alone; nothing is copied from the published code, and nothing here is for training
(:mod:`avsgn_pyg.baselines.cmbs` is).

Taken from the paper: inputs of 128 (VGGish) and 512 (VGG19) numbers a second, a bidirectional LSTM a modality, two
self-attention layers and one across modalities a modality (D = 256, four heads), the gates of the time level, the
interaction of both streams, the class activations of the event level, and losses of relevance, class, gates and
activations. Taken from this project's baseline: widths of the LSTMs, feed-forward layers of 1024, dropout rates, alpha
and gamma. Left out: the attention over a picture's 7 x 7 regions, because visual input is already pooled to a vector a
second, and the published code's layers that receive no gradient. A step on whole maps costs several times more.

Letters: B videos, T seconds, D width, C classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from avsgn_pyg.experiments.workload import Workload

AUDIO_WIDTH, VISUAL_WIDTH, DIM, HEADS, HIDDEN = 128, 512, 256, 4, 1024
ALPHA, GAMMA, HIGHEST = 0.1, 0.3, 4

Stream = Float[Tensor, "B T D"]


class Stage(nn.Module):
    """One modality up to its aligned stream: LSTM, attention within, attention to the other modality and itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        recurrent = {AUDIO_WIDTH: DIM // 2, VISUAL_WIDTH: DIM}[width]
        self.recurrent = nn.LSTM(width, recurrent, batch_first=True, bidirectional=True)
        self.enter_within, self.enter_across = nn.Linear(2 * recurrent, DIM), nn.Linear(2 * recurrent, DIM)
        self.within = nn.Sequential(*(nn.TransformerEncoderLayer(DIM, HEADS, HIDDEN, batch_first=True)
                                      for _ in range(2)))
        self.across = nn.MultiheadAttention(DIM, HEADS, dropout=0.1, batch_first=True)
        self.feed_forward = nn.Sequential(nn.Linear(DIM, HIDDEN), nn.ReLU(), nn.Dropout(0.1), nn.Linear(HIDDEN, DIM))
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(2))
        self.gate, self.dropout = nn.Linear(DIM, 1), nn.Dropout(0.1)
        self.activation = nn.Linear(DIM, Workload.classes)

    def attend(self, rows: Stream, other: Stream) -> Stream:
        """Queries of one modality to both."""
        memory = torch.cat((other, rows), 1)
        rows = self.norms[0](rows + self.dropout(self.across(rows, memory, memory, need_weights=False)[0]))
        return self.norms[1](rows + self.dropout(self.feed_forward(rows)))

    def activate(self, rows: Stream) -> Float[Tensor, "B C"]:
        """Mean activation of every class in its highest seconds."""
        return self.activation(rows).topk(min(HIGHEST, rows.shape[1]), dim=1).values.mean(1)


class Interaction(nn.Module):
    """The product of both streams as queries to both."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = nn.MultiheadAttention(DIM, HEADS, dropout=0.2, batch_first=True), nn.LayerNorm(DIM)
        self.dropout = nn.Dropout(0.1)

    def forward(self, one: Stream, two: Stream) -> Stream:
        query, memory = one * two, torch.cat((two, one), 1)
        return self.norm(query + self.dropout(self.attention(query, memory, memory, need_weights=False)[0]))


class CMBSShape(nn.Module):
    """Published sizes; answers with the training loss."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Linear(VISUAL_WIDTH, VISUAL_WIDTH), nn.ReLU(), nn.Dropout(0.2))
        self.audio, self.visual = Stage(AUDIO_WIDTH), Stage(VISUAL_WIDTH)
        self.interact = nn.ModuleList(Interaction() for _ in range(2))
        self.relevance, self.category = nn.Linear(DIM, 1), nn.Linear(DIM, Workload.classes)

    def forward(self, audio: Tensor, visual: Tensor, category: Tensor, relevance: Tensor) -> Tensor:
        audio, visual = self.audio.recurrent(audio)[0], self.visual.recurrent(self.enter(visual))[0]
        within_a, within_v = (stage.within(stage.enter_within(rows))
                              for stage, rows in ((self.audio, audio), (self.visual, visual)))
        gate_a, gate_v = self.audio.gate(within_a).sigmoid(), self.visual.gate(within_v).sigmoid()
        audio = self.audio.attend(self.audio.enter_across(audio), within_v) * (1 + ALPHA * gate_v)
        visual = self.visual.attend(self.visual.enter_across(visual), within_a) * (1 + ALPHA * gate_a)
        both = self.interact[0](visual, audio)
        fused = (both + self.interact[1](audio, both)) / 2
        activation = (self.audio.activate(audio) + self.visual.activate(visual)) / 2
        classes = self.category(fused.amax(1)) + GAMMA * activation
        return (F.cross_entropy(classes, category) + F.cross_entropy(activation, category)
                + F.binary_cross_entropy_with_logits(self.relevance(fused).squeeze(-1), relevance)
                + F.binary_cross_entropy((gate_a * gate_v).squeeze(-1), relevance))


class CMBSStep:
    """One step with Adam on a batch that is ready; calling it takes one."""

    def __init__(self, workload: Workload, device: str = "cpu") -> None:
        torch.set_num_threads(workload.threads)
        torch.manual_seed(workload.seed)
        self.network = CMBSShape().to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)  # as published: torch's default form
        shape = (workload.batch_size, workload.segments)
        self.inputs = tuple(value.to(device) for value in (
            torch.randn(*shape, AUDIO_WIDTH), torch.randn(*shape, VISUAL_WIDTH),
            torch.randint(Workload.classes, shape[:1]), torch.randint(2, shape).float()))

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.network(*self.inputs).backward()
        self.optimizer.step()
