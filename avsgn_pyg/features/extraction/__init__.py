"""Videos to a feature store: which videos, reading processes, encoder batches, what survives a kill, one file."""
