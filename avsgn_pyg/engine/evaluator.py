"""A model's outputs for a whole split, and the scores that choose among epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from avsgn_pyg import metrics
from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.localization import Localization


def predict(
    model: nn.Module, videos: Videos, *, device: torch.device | str = "cpu", batch_size: int = 64,
    progress: bool = False,
) -> Localization:
    """Run `model`, in evaluation mode, over `videos` in their order.

    Returns:
        Class logits, relevance logits, segment scores (if the model has them) and mask of all videos, float32 on the
        CPU; logits of padding are 0.
    """
    category, relevance, scores = run_batches(
        model, videos, lambda found: _heads(found, videos.audio.shape[1]), device, batch_size, progress)
    return Localization(category, relevance, segment_scores=scores, mask=videos.mask)


@torch.inference_mode()
def run_batches(
    model: nn.Module, videos: Videos, heads: Callable[[Any], tuple[Tensor | None, ...]], device: torch.device | str,
    batch_size: int, progress: bool = False,
) -> tuple[Tensor | None, ...]:
    """Run `model`, in evaluation mode, over `videos` in their order; return what `heads` takes of its outputs, joined.

    The model has to be on `device`; batches are moved there, results are float32 on the CPU. The model's mode is
    restored afterwards. No random number is drawn, so evaluating during training does not change the training.
    """
    training = model.training
    model.eval()
    batches = torch.arange(len(videos)).split(batch_size)
    try:
        found = [heads(model(videos.batch(index).to(device))) for index in tqdm(
            batches, desc="evaluate", unit="batch", leave=False, disable=None if progress else True)]
    finally:
        model.train(training)
    return tuple(None if parts[0] is None else torch.cat(parts).float().cpu() for parts in zip(*found, strict=True))


def labels(found: Localization, tau: float) -> Int[Tensor, "N T"]:
    """Return the predicted label of every segment; background is C."""
    return metrics.predict(found.category, found.relevance, tau, found.segment_scores, found.mask)


def selection_scores(found: Localization, videos: Videos, tau: float) -> dict[str, float]:
    """Return the scores that are cheap enough for every epoch, percent; the first one selects."""
    category = videos.category.cpu()
    relevance = metrics.zero_padding(videos.relevance.cpu(), videos.mask)
    target = metrics.segment_targets(category, relevance, found.category.shape[-1])
    return {
        "segment_accuracy": metrics.accuracy(labels(found, tau), target, videos.mask),
        "class_accuracy": metrics.class_accuracy(found.category, category),
        "relevance_auc": metrics.relevance_auc(found.relevance, relevance, videos.mask),
    }


def _heads(found: Localization, segments: int) -> tuple[Tensor, Tensor, Tensor | None]:
    """A batch's logits, padded to the split's longest video."""
    padding = segments - found.relevance.shape[1]

    def padded(logits: Float[Tensor, "B t *k"] | None) -> Float[Tensor, "B T *k"] | None:
        if logits is None or (found.mask is None and not padding):
            return logits
        if found.mask is not None:
            logits = logits.masked_fill(~found.mask.view(*found.mask.shape, *(1 for _ in logits.shape[2:])), 0)
        return F.pad(logits, (0, 0) * (logits.ndim - 2) + (0, padding))

    return found.category, padded(found.relevance), padded(found.segment_scores)
