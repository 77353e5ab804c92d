"""A model's outputs for a whole split."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from tqdm import tqdm

from avsgn_pyg.data.dataset import Videos
from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL

T = TypeVar("T")

#: The gates of a model, in the order of the outputs.
GATES: Final = (AUDIO, VISUAL)


def predict(
    model: nn.Module, videos: Videos, *, device: torch.device | str = "cpu", batch_size: int = 64,
    progress: bool = False,
) -> Localization:
    """Run `model`, in evaluation mode, over `videos` in their order.

    Returns:
        Class logits, relevance logits, gates (if the model has them; vectors averaged over their width), segment scores
        (likewise) and mask of all videos, float32 on the CPU; what belongs to padding is 0.
    """
    category, relevance, scores, *gates = join(run_batches(
        model, videos, lambda found, _: _heads(found, videos.audio.shape[1]), device, batch_size, progress))
    named = zip(GATES, gates, strict=True)
    return Localization(category, relevance, gates={name: gate for name, gate in named if gate is not None},
                        segment_scores=scores, mask=videos.mask)


@torch.inference_mode()
def run_batches(
    model: nn.Module, videos: Videos, read: Callable[[Any, Int[Tensor, "B"]], T], device: torch.device | str,
    batch_size: int, progress: bool = False,
) -> list[T]:
    """Run `model`, in evaluation mode, over `videos` in their order; return what `read` makes of each batch's output.

    `read` is given the output, and the indices of the batch's videos.

    The model has to be on `device`; batches are moved there. Its mode is restored afterwards. No random number is
    drawn, so evaluating during training does not change the training.
    """
    training = model.training
    model.eval()
    batches = torch.arange(len(videos)).split(batch_size)
    try:
        return [read(model(videos.batch(index).to(device)), index) for index in tqdm(
            batches, desc="evaluate", unit="batch", leave=False, disable=None if progress else True)]
    finally:
        model.train(training)


def join(found: Sequence[tuple[Tensor | None, ...]]) -> tuple[Tensor | None, ...]:
    """Return the parts of all batches joined, float32 on the CPU."""
    return tuple(None if parts[0] is None else torch.cat(parts).float().cpu() for parts in zip(*found, strict=True))


@torch.inference_mode()
def stage_features(
    model: nn.Module, videos: Videos, seconds: Bool[Tensor, "N T"], *, device: torch.device, batch_size: int
) -> dict[str, dict[str, Float[Tensor, "M d"]]]:
    """Run `model`, which is on `device`, over `videos` and return features of the marked seconds, on the CPU.

    Returns:
        stage -> ``audio`` and ``visual`` -> features; stages that have both, in the order of the model.
    """
    found: dict[str, dict[str, list[Tensor]]] = {}
    for index in torch.arange(len(videos)).split(batch_size):
        for stage, streams in model(videos.batch(index).to(device)).stages.items():
            for modality in (AUDIO, VISUAL) if {AUDIO, VISUAL} <= streams.keys() else ():
                rows = streams[modality].float().cpu()
                rows = rows[seconds[index, : rows.shape[1]]]
                found.setdefault(stage, {}).setdefault(modality, []).append(rows)
    return {stage: {modality: torch.cat(rows) for modality, rows in streams.items()}
            for stage, streams in found.items()}


def _heads(found: Localization, segments: int) -> tuple[Tensor | None, ...]:
    """A batch's logits and gates, padded to the split's longest video."""
    padding = segments - found.relevance.shape[1]

    def padded(logits: Float[Tensor, "B t *k"] | None) -> Float[Tensor, "B T *k"] | None:
        if logits is None or (found.mask is None and not padding):
            return logits
        if found.mask is not None:
            logits = logits.masked_fill(~found.mask.view(*found.mask.shape, *(1 for _ in logits.shape[2:])), 0)
        return F.pad(logits, (0, 0) * (logits.ndim - 2) + (0, padding))

    gates = (found.gates[name].mean(-1, keepdim=True) if name in found.gates else None for name in GATES)
    return found.category, padded(found.relevance), padded(found.segment_scores), *map(padded, gates)
