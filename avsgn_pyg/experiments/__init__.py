"""Measurements of the code itself: what a training step costs, and against what."""
