"""An explanation of a row of a run's data: which seconds and edges its class, or the relevance of a second, needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch_geometric.explain import CaptumExplainer, HeteroExplanation

from avsgn_pyg.common.errors import PictureError
from avsgn_pyg.engine.recipes.pictures import open_row
from avsgn_pyg.model.explain import explain
from avsgn_pyg.visualize.files import VideoGraph

#: Method -> its name in figures.
METHODS: Final = {"gnn": "GNNExplainer", "integrated_gradients": "integrated gradients"}
STEPS: Final = 50  #: of the integral


def explain_row(
    run: Path, *, method: str = "gnn", second: int | None = None, row: int | None = None, split: str | None = None,
    overrides: Sequence[str] = (),
) -> tuple[VideoGraph, HeteroExplanation, str]:
    """Explain a checkpoint's prediction for one row, against the mean second of the train split.

    Args:
        method: of :data:`METHODS`; ``integrated_gradients`` needs captum.
        second: explain event or background, whichever is predicted, in this second; ``None``: the predicted class.
        row, split, overrides: as for :func:`avsgn_pyg.engine.recipes.pictures.answer_row`.

    Returns:
        The answer, its explanation, and a sentence on what was explained and how.

    Raises:
        PictureError: captum is not installed, a second after the end, or a model without a graph.
        CheckpointError, ConfigError, DataError: as for ``answer_row``.
    """
    opened, answer = open_row(run, row=row, split=split, overrides=overrides)
    algorithm, nodes = (None, "object") if method == "gnn" else (_integrated_gradients(), "attributes")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            explanation = explain(opened.model, answer.batch, algorithm, second=second, node_mask_type=nodes,
                                  baseline=opened.dataset.train.mean)
        except ValueError as error:
            raise PictureError(str(error)) from None
    what = "the class"
    if second is not None:
        kind = "event" if int(explanation.target) else "background"
        what = f"{kind} in second {second} (relevance {float(explanation.prediction):.2f})"
    return answer, explanation, f"masks of {METHODS[method]} for {what}"


def _integrated_gradients() -> CaptumExplainer:
    try:
        return CaptumExplainer("IntegratedGradients", n_steps=STEPS)
    except ImportError:
        raise PictureError("integrated gradients need captum; install it with pip install 'avsgn_pyg[figures]', or use "
                           "the method gnn") from None
