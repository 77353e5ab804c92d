"""AVSGN on PyTorch Geometric: which event, and in which seconds is it both heard and seen?

    >>> from avsgn_pyg import load_config, train
    >>> print(train(load_config("configs/demo.yaml")).table())

Importing this loads neither encoders nor matplotlib; ``train`` and ``evaluate_run`` do when first asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from avsgn_pyg.config import Config, ConfigError, load_config
from avsgn_pyg.data.dataset import Dataset, Videos, load_dataset
from avsgn_pyg.localization import Event, Localization, decode, events
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.zoo import build_model, build_objective

__version__ = "0.1.0"

#: Offered here, imported when first asked for: drawing the confusion matrix brings matplotlib in.
_RECIPES = ("evaluate_run", "train")

__all__ = [
    "AVSGN", "Config", "ConfigError", "Dataset", "Event", "Localization", "Videos", "build_model", "build_objective",
    "decode", "evaluate_run", "events", "load_config", "load_dataset", "train",
]


def __getattr__(name: str) -> Any:
    if name in _RECIPES:
        return getattr(importlib.import_module("avsgn_pyg.recipes"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
