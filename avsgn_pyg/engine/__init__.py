"""Training, checkpoints and evaluation of a model; the equations of the paper are elsewhere."""
