"""Trains a config in every process that torchrun starts, and keeps what each of them ended with."""

from __future__ import annotations

import os
import sys
from typing import Any

from safetensors.torch import save_file

from avsgn_pyg import recipes
from avsgn_pyg.config import load_config
from avsgn_pyg.engine.trainer import Trainer
from avsgn_pyg.recipes import training


class Keeping(Trainer):
    def fit(self) -> Any:
        progress = super().fit()
        weights = {name: value.clone() for name, value in self.parts.model.state_dict().items()}
        save_file(weights, self.config.run_dir / f"rank-{os.environ['RANK']}.safetensors")
        return progress


training.Trainer = Keeping  # type: ignore[misc]
recipes.train(load_config(sys.argv[1], sys.argv[2:]), progress=False)
