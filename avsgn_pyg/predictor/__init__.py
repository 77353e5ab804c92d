"""Raw video in, events out: a trained model behind the encoders that its features were made with.

``docs/prediction.md`` describes how windows are averaged, the file formats, and how to share a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsgn_pyg.common.errors import EXPECTED_ERRORS
from avsgn_pyg.common.lazy import attach
from avsgn_pyg.features.choice import EncoderChoice
from avsgn_pyg.predictor.inputs import find_clips

if TYPE_CHECKING:
    from avsgn_pyg.predictor.clips import ClipResult, predict_clips
    from avsgn_pyg.predictor.export import export_model
    from avsgn_pyg.predictor.formats import FORMATS
    from avsgn_pyg.predictor.prediction import FoundEvent, Prediction
    from avsgn_pyg.predictor.predictor import Predictor, open_predictor

__all__ = ["EXPECTED_ERRORS", "FORMATS", "ClipResult", "EncoderChoice", "FoundEvent", "Prediction", "Predictor",
           "export_model", "find_clips", "open_predictor", "predict_clips"]

__getattr__, __dir__ = attach(__name__, {
    "clips": ("ClipResult", "predict_clips"),
    "export": ("export_model",),
    "figures": (),
    "formats": ("FORMATS",),
    "pictures": (),
    "prediction": ("FoundEvent", "Prediction"),
    "predictor": ("Predictor", "open_predictor"),
})
