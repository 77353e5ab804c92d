"""A model's answers for a whole split."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
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
    """

    category: Float[Tensor, "N C"]
    relevance: Float[Tensor, "N T"]
    segment_scores: Float[Tensor, "N T C1"] | None = None

    def labels(self, tau: float) -> Int[Tensor, "N T"]:
        """Predicted label of every segment; background is C."""
        return metrics.predict(self.category, self.relevance, tau, self.segment_scores)


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
            answers.append(_heads(model(videos.batch(index).to(device))))
    finally:
        model.train(training)
    columns = [
        None if parts[0] is None else torch.cat(parts).float().cpu() for parts in zip(*answers, strict=True)
    ]
    return Predictions(*columns)


def selection_scores(predictions: Predictions, videos: Videos, tau: float) -> dict[str, float]:
    """The scores of a split that are cheap enough for every epoch, percent; the first one selects."""
    category, relevance = videos.category.cpu(), videos.relevance.cpu()
    target = metrics.segment_targets(category, relevance, predictions.category.shape[-1])
    return {
        "segment_accuracy": metrics.accuracy(predictions.labels(tau), target),
        "class_accuracy": metrics.class_accuracy(predictions.category, category),
        "relevance_auc": metrics.relevance_auc(predictions.relevance, relevance),
    }


def _heads(answer: Localization) -> tuple[Tensor, Tensor, Tensor | None]:
    if answer.mask is not None:
        raise ValueError("videos of mixed lengths came, and a split's predictions and metrics are of one length; "
                         "evaluate videos of each length apart, or decode an answer by its mask (localization.decode)")
    return answer.category, answer.relevance, answer.segment_scores
