"""Inputs and outputs that baselines share: a batch as two streams, and a Localization from segment scores.

Shapes: B videos, T segments, K = C + 1 scores (background is the last).
"""

from __future__ import annotations

from typing import Final

from jaxtyping import Float
from torch import Tensor
from torch_geometric.data import HeteroData

from avsgn_pyg.graph.localization import Localization
from avsgn_pyg.graph.schema import AUDIO, VISUAL
from avsgn_pyg.graph.views import dense_view

#: For a class's ``only`` (:func:`avsgn_pyg.baselines.options.build_with`): the option needs that supervision.
FULL_ONLY: Final = ("supervision", "full")
WEAK_ONLY: Final = ("supervision", "weak")


def streams(batch: HeteroData) -> tuple[Float[Tensor, "B T a"], Float[Tensor, "B T v"]]:
    """Return audio and visual features of a batch, one row per second.

    Raises:
        ValueError: the videos differ in length (the recurrent baselines were published for one length), or the two
            modalities do.
    """
    audio, visual = dense_view(batch, AUDIO), dense_view(batch, VISUAL)
    if audio.shape[:2] != visual.shape[:2]:
        raise ValueError(f"audio and visual must have the same videos and seconds, got {tuple(audio.shape[:2])} and "
                         f"{tuple(visual.shape[:2])}")
    return audio, visual


def from_segment_scores(scores: Float[Tensor, "B T K"], **more: object) -> Localization:
    """Return the output of a model with C + 1 scores per second.

    The class is the maximum over time of each class's score; the relevance is the log-odds of all classes against
    background.
    """
    classes, background = scores[..., :-1], scores[..., -1]
    relevance = classes.logsumexp(-1) - background
    return Localization(classes.amax(1), relevance, segment_scores=scores, **more)
