"""Where the parts meet: train a config, continue a run, evaluate what came out.

A run of one seed is ``<run_dir>/<name>/``; with ``train.seeds`` each seed has a folder ``seed-<n>/`` in it,
and ``summary-<split>.json`` holds the mean, the spread and the interval. ``docs/runs.md`` shows the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsgn_pyg.engine.run_folder import run_folder
from avsgn_pyg.errors import EXPECTED_ERRORS
from avsgn_pyg.lazy import attach

if TYPE_CHECKING:
    from avsgn_pyg.engine.report import format_table
    from avsgn_pyg.engine.summary import format_summary
    from avsgn_pyg.recipes.evaluation import RunResult, evaluate_checkpoint, evaluate_run
    from avsgn_pyg.recipes.parts import open_dataset
    from avsgn_pyg.recipes.training import restart, train

__all__ = [
    "EXPECTED_ERRORS",
    "RunResult",
    "evaluate_checkpoint",
    "evaluate_run",
    "format_summary",
    "format_table",
    "open_dataset",
    "restart",
    "run_folder",
    "train",
]

__getattr__, __dir__ = attach(__name__, {
    "evaluation": ("RunResult", "evaluate_checkpoint", "evaluate_run", "format_summary", "format_table"),
    "embedding": (),
    "parts": ("open_dataset",),
    "pictures": (),
    "training": ("restart", "train"),
})
