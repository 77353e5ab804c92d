"""A small AVE of drawn, sounding clips: real files to extract from, train on and predict, without a download."""

from avsgn_pyg.scenes.make import Scenes, make_scenes
from avsgn_pyg.scenes.script import CLASSES, ScenesError

__all__ = ["CLASSES", "Scenes", "ScenesError", "make_scenes"]
