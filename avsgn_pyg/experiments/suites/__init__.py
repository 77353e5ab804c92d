"""Tables of the paper by one command: rows x seeds, run where they are missing, ours beside the paper's numbers.

:func:`load_suite` reads a table's YAML, :func:`reproduce` runs it and writes it. ``docs/suites.md`` shows both.
"""

from __future__ import annotations

from avsgn_pyg.experiments.suites.reproduce import Reproduction, reproduce
from avsgn_pyg.experiments.suites.suite import Suite, load_suite

__all__ = ["Reproduction", "Suite", "load_suite", "reproduce"]
