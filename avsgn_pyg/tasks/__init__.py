"""Other tasks on the same layers: audio-visual video parsing."""
