"""Annotated videos: AVE-shaped folders, feature stores, and a synthetic data set like AVE."""
