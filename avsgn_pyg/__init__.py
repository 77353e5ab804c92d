"""AVSGN on PyTorch Geometric: which event, and in which seconds is it both heard and seen?

    >>> from avsgn_pyg import load_config, load_dataset, train
    >>> result = train(load_config("configs/demo.yaml"))

Importing this loads neither encoders nor matplotlib.
"""

from __future__ import annotations

from avsgn_pyg.config import Config, ConfigError, load_config
from avsgn_pyg.localization import Event, Localization, decode, events
from avsgn_pyg.model.avsgn import AVSGN

__version__ = "0.1.0"

__all__ = ["AVSGN", "Config", "ConfigError", "Event", "Localization", "decode", "events", "load_config"]
