"""Raw video in, events out: a trained model behind the encoders that its features were made with.

``docs/prediction.md`` tells how windows are averaged, what the files hold, and how a model is passed on.
"""

from __future__ import annotations

from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.engine.checkpoint import CheckpointError
from avsgn_pyg.engine.run_folder import RunError
from avsgn_pyg.features.encoder import EncoderChoice
from avsgn_pyg.predictor.files import Outcome, find_clips, predict_clips
from avsgn_pyg.predictor.formats import FORMATS
from avsgn_pyg.predictor.prediction import FoundEvent, Prediction
from avsgn_pyg.predictor.predictor import Predictor

#: What a tool shows as a plain sentence: the message says what came and what would work.
EXPECTED_ERRORS = (ConfigError, DataError, CheckpointError, RunError)

__all__ = [
    "EXPECTED_ERRORS",
    "FORMATS",
    "EncoderChoice",
    "FoundEvent",
    "Outcome",
    "Prediction",
    "Predictor",
    "find_clips",
    "predict_clips",
]
