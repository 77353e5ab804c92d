"""AVSGN on PyTorch Geometric: which event, and in which seconds is it both heard and seen?

    >>> from avsgn_pyg import load_config, train
    >>> print(train(load_config("configs/synthetic.yaml")).table())

Importing this loads neither encoders nor matplotlib; ``train``, ``evaluate_run`` and ``Predictor`` bring in what they
need when first asked for.
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

#: Offered here, imported when first asked for: recipes bring matplotlib in (the confusion matrix), the predictor a
#: video decoder and the Hugging Face hub.
_LATER = {"evaluate_run": "recipes", "train": "recipes", "Prediction": "predictor", "Predictor": "predictor"}

__all__ = [
    "AVSGN", "Config", "ConfigError", "Dataset", "Event", "Localization", "Prediction", "Predictor", "Videos",
    "build_model", "build_objective", "decode", "evaluate_run", "events", "load_config", "load_dataset", "train",
]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(f"avsgn_pyg.{_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
