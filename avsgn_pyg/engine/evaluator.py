"""A model's answers for a whole split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from avsgn_pyg import metrics
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.localization import Localization


@dataclass(frozen=True, eq=False)
class Predictions:
    """Logits of a split, in its order, float32 on the CPU.

    Attributes:
        category: class logits [N, C].
        relevance: event-relevance logits [N, T].
        segment_scores: [N, T, C + 1] of models that score every segment, else ``None``.
        mask: [N, T] False where a video is over, and the logits are 0; ``None`` where all videos are as long.
    """

    category: Float[Tensor, "N C"]
    relevance: Float[Tensor, "N T"]
    segment_scores: Float[Tensor, "N T C1"] | None = None
    mask: Bool[Tensor, "N T"] | None = None

    def labels(self, tau: float) -> Int[Tensor, "N T"]:
        """Predicted label of every segment; background is C."""
        return metrics.predict(self.category, self.relevance, tau, self.segment_scores, self.mask)


@torch.inference_mode()
def predict(
    model: nn.Module,
    videos: Videos,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 64,
    progress: bool = False,
) -> Predictions:
    """Run `model`, in evaluation mode, over `videos` in their order.

    The model has to be on `device`; batches are brought there. Its mode is put back afterwards. No random
    number is drawn, so evaluating during training does not change the training.
    """
    training = model.training
    model.eval()
    answers = []
    try:
        batches = torch.arange(len(videos)).split(batch_size)
        for index in tqdm(
            batches, desc="evaluate", unit="batch", leave=False, disable=None if progress else True
        ):
            answers.append(_heads(model(videos.batch(index).to(device)), videos.audio.shape[1]))
    finally:
        model.train(training)
    columns = [
        None if parts[0] is None else torch.cat(parts).float().cpu() for parts in zip(*answers, strict=True)
    ]
    return Predictions(*columns, mask=videos.mask)


def selection_scores(predictions: Predictions, videos: Videos, tau: float) -> dict[str, float]:
    """The scores of a split that are cheap enough for every epoch, percent; the first one selects."""
    category, relevance = videos.category.cpu(), videos.relevance.cpu()
    relevance = metrics.emptied(relevance, videos.mask)
    target = metrics.segment_targets(category, relevance, predictions.category.shape[-1])
    return {
        "segment_accuracy": metrics.accuracy(predictions.labels(tau), target, videos.mask),
        "class_accuracy": metrics.class_accuracy(predictions.category, category),
        "relevance_auc": metrics.relevance_auc(predictions.relevance, relevance, videos.mask),
    }


def _heads(answer: Localization, segments: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """A batch's logits, as long as the split's longest video; 0 where a video is over."""
    if answer.mask is None and answer.relevance.shape[1] == segments:
        return answer.category, answer.relevance, answer.segment_scores
    more = segments - answer.relevance.shape[1]

    def filled(logits: Float[Tensor, "B t *k"]) -> Float[Tensor, "B T *k"]:
        if answer.mask is not None:
            logits = logits.masked_fill(~answer.mask.view(*answer.mask.shape, *(1 for _ in logits.shape[2:])), 0)
        return F.pad(logits, (0, 0) * (logits.ndim - 2) + (0, more))

    scores = None if answer.segment_scores is None else filled(answer.segment_scores)
    return answer.category, filled(answer.relevance), scores
