"""Tables of the paper by one command: rows x seeds, trained where they are missing, with the paper's numbers.

:func:`load_suite` reads the YAML of a table, :func:`reproduce` runs it and writes the table; see ``docs/suites.md``.
"""

from __future__ import annotations

from avsgn_pyg.experiments.suites.cluster import run_on_ray
from avsgn_pyg.experiments.suites.duration import estimate
from avsgn_pyg.experiments.suites.execution import run_on_processes
from avsgn_pyg.experiments.suites.reproduce import Reproduction, reproduce
from avsgn_pyg.experiments.suites.suite import Suite, load_suite

__all__ = ["Reproduction", "Suite", "estimate", "load_suite", "reproduce", "run_on_processes", "run_on_ray"]
