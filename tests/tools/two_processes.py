"""Trains a config in every process that torchrun starts, and saves the weights that each of them ends with."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from safetensors.torch import save_file

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine import recipes
from avsgn_pyg.engine.trainer import Trainer

fit = Trainer.fit


def fit_and_save(self: Trainer) -> Any:
    progress = fit(self)
    weights = {name: value.clone() for name, value in self.parts.model.state_dict().items()}
    save_file(weights, self.config.run_dir / f"rank-{os.environ['RANK']}.safetensors")
    return progress


Trainer.fit = fit_and_save
logging.basicConfig(level=logging.INFO)
recipes.train(load_config(sys.argv[1], sys.argv[2:]), progress=False)
