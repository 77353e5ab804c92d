"""Section 3 of the paper: one file per section, read top to bottom from :mod:`avsgn_pyg.model.avsgn`."""
