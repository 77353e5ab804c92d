"""Audio-visual video parsing on LLP: every event of a video, and when it is audible, visible or both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avsgn_pyg.common.lazy import attach

if TYPE_CHECKING:
    from avsgn_pyg.tasks.parsing.training import evaluate_run, restart, train

__all__ = ["evaluate_run", "restart", "train"]

__getattr__, __dir__ = attach(__name__, {"training": ("evaluate_run", "restart", "train")})
