"""AVSGN on PyTorch Geometric: which event, and in which seconds is it both heard and seen?

    >>> from avsgn_pyg import load_config, train
    >>> print(train(load_config("configs/synthetic.yaml")).table())

Importing this package imports neither torch nor PyG: each name below is imported at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsgn_pyg.common import lazy_pyg
from avsgn_pyg.common.lazy import attach

if TYPE_CHECKING:
    from avsgn_pyg.common.config import Config, ConfigError, load_config
    from avsgn_pyg.data.dataset import Dataset, Videos, load_dataset
    from avsgn_pyg.engine.recipes import evaluate_run, train
    from avsgn_pyg.engine.zoo import build_model, build_objective
    from avsgn_pyg.graph.localization import Event, Localization, decode, events
    from avsgn_pyg.model.avsgn import AVSGN
    from avsgn_pyg.predictor import Prediction, Predictor

__version__ = "0.2.0"

__getattr__, __dir__ = attach(__name__, {
    "common.config": ("Config", "ConfigError", "load_config"),
    "data.dataset": ("Dataset", "Videos", "load_dataset"),
    "graph.localization": ("Event", "Localization", "decode", "events"),
    "model.avsgn": ("AVSGN",),
    "predictor": ("Prediction", "Predictor"),
    "engine.recipes": ("evaluate_run", "train"),
    "engine.zoo": ("build_model", "build_objective"),
})

__all__ = [
    "AVSGN", "Config", "ConfigError", "Dataset", "Event", "Localization", "Prediction", "Predictor", "Videos",
    "build_model", "build_objective", "decode", "evaluate_run", "events", "load_config", "load_dataset", "train",
]

lazy_pyg.install()
