"""Train a config, continue a run, evaluate and draw what was trained.

A run of one seed is ``<run_dir>/<name>/``; with ``train.seeds`` each seed has a folder ``seed-<n>/`` in it, and
``summary-<split>.json`` holds mean, standard deviation and interval. ``docs/runs.md`` describes the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsgn_pyg.common.errors import EXPECTED_ERRORS
from avsgn_pyg.common.lazy import attach
from avsgn_pyg.engine.run_folder import run_folder

if TYPE_CHECKING:
    from avsgn_pyg.engine.recipes.evaluation import Result, evaluate_checkpoint, evaluate_run
    from avsgn_pyg.engine.recipes.parts import open_dataset
    from avsgn_pyg.engine.recipes.training import restart, train

__all__ = ["EXPECTED_ERRORS", "Result", "evaluate_checkpoint", "evaluate_run", "open_dataset", "restart", "run_folder",
           "train"]

__getattr__, __dir__ = attach(__name__, {
    "evaluation": ("Result", "evaluate_checkpoint", "evaluate_run"),
    "embedding": (),
    "open_vocabulary": (),
    "parts": ("open_dataset",),
    "pictures": (),
    "reliability": (),
    "training": ("restart", "train"),
})
