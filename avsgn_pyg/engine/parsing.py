"""Training and answering for audio-visual parsing: the engine's own, told of another target and another score."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch_geometric.data import HeteroData

from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.data.parsing import ParsingVideos
from avsgn_pyg.engine.losses import Learner
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.graph.schema import LABELS
from avsgn_pyg.localization import decode_parsing
from avsgn_pyg.metrics.parsing import ParsingReport, evaluate_parsing


class ParsingLearner(Learner):
    """Hands the objective what the videos hold, and nothing else."""

    def forward(self, batch: HeteroData) -> tuple[dict[str, Tensor], Tensor]:
        losses = self.objective(self.model(batch), batch[LABELS])
        return losses, self.objective.total(losses)


class ParsingTrainer(Trainer):
    """:class:`~avsgn_pyg.engine.trainer.Trainer` for parsers; the epoch is selected by segment-level Type@AV."""

    learner_type = ParsingLearner

    def judge(self, model: nn.Module, videos: Videos) -> dict[str, float]:
        """Segment- and event-level scores of the selecting split, percent; Type@AV of segments comes first."""
        answers = parse(model, videos, device=self.accelerator.device, batch_size=self.recipe.batch_size)
        report = score(answers, videos)
        scores = {"segment_type_av": report.segment.type_av}
        for level in ("segment", "event"):
            scores |= {f"{level}_{name}": value for name, value in getattr(report, level)._asdict().items()}
        return scores


@dataclass(frozen=True, eq=False)
class ParsingAnswers:
    """A split's answers, in its order, on the CPU.

    Attributes:
        audio, visual: [N, T, C] logits of every second.
        video: [N, C] evidence in the whole video.
    """

    audio: Float[Tensor, "N T C"]
    visual: Float[Tensor, "N T C"]
    video: Float[Tensor, "N C"]

    def events(self, threshold: float = 0.5) -> tuple[Bool[Tensor, "N T C"], Bool[Tensor, "N T C"]]:
        """What is heard and what is seen; see :func:`avsgn_pyg.localization.decode_parsing`."""
        return tuple(decode_parsing(each, self.video, threshold) for each in (self.audio, self.visual))


@torch.inference_mode()
def parse(
    model: nn.Module, videos: Videos, *, device: torch.device | str = "cpu", batch_size: int = 64
) -> ParsingAnswers:
    """Run a parser, in evaluation mode, over `videos`; its mode is put back, and no random number is drawn."""
    training = model.training
    model.eval()
    answers = []
    try:
        for index in torch.arange(len(videos)).split(batch_size):
            found = model(videos.batch(index).to(device))
            answers.append((found.audio, found.visual, found.video))
    finally:
        model.train(training)
    return ParsingAnswers(*(torch.cat(parts).float().cpu() for parts in zip(*answers, strict=True)))


def score(answers: ParsingAnswers, videos: Videos) -> ParsingReport:
    """The field's F-scores at its thresholds.

    Raises:
        DataError: the videos have no segment labels, as train has none.
    """
    if not isinstance(videos, ParsingVideos) or videos.heard is None or videos.seen is None:
        raise DataError("these videos have no segment labels to score against; LLP annotates val and test")
    return evaluate_parsing(*answers.events(), videos.heard.cpu(), videos.seen.cpu())
