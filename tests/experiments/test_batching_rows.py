"""Rows on batches are of the same draws, and judged where rows lie in no cache."""

from __future__ import annotations

from avsgn_pyg.experiments.batching_rows import batching_rows
from avsgn_pyg.experiments.workload import Workload

TINY = Workload(videos=6, segments=3, width=8, classes=3, batch_size=2, rounds=2, overrides=("model.dim=8",))


def test_batching_has_its_rows_with_and_without_a_warm_cache_and_judges_the_cold_ones():
    rows = {row.name.removeprefix("CPU: batching, "): row for row in batching_rows(TINY)}
    cold, warm = "another draw each time", "one draw again and again"
    assert rows[f"{cold}: Videos.batch / indexing"].at_most == 1.7
    assert rows[f"{cold}: from_data_list / Videos.batch"].at_least == 40
    assert rows[f"{warm}: from_data_list / Videos.batch"].at_least is None
    assert len(rows) == 10
    for row in rows.values():
        assert 0 < row.low <= row.value <= row.high
