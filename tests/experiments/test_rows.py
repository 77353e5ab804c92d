"""What a result looks like on a terminal, in Markdown and in JSON."""

from __future__ import annotations

import json

import pytest
import torch

from avsgn_pyg.experiments.rows import Results, Row, machine_facts
from avsgn_pyg.experiments.timing import Quartiles

ROWS = (
    Row.over_rounds("step", Quartiles(0.001, 0.002, 0.003), "ms", scale=1e3, note="how"),
    Row("good | fine", 1.1, "ratio", 1.0, 1.2, at_most=1.15),
    Row("bad", 1.2, "ratio", at_most=1.15),
    Row.absent("gone", "s", "no device", at_most=1.15),
    Row("many", 3.6, "ratio", at_least=3.5),
    Row("few", 3.4, "ratio", at_least=3.5),
)
RESULTS = Results(ROWS, {"cpu": "a CPU", "threads": 1}, {"videos": 7})


@pytest.mark.parametrize(("row", "cells"), [
    (ROWS[0], ("step", "2 ms", "1 .. 3", "", "how")),
    (ROWS[1], ("good | fine", "1.1 ratio", "1 .. 1.2", "<= 1.15 met", "")),
    (ROWS[2], ("bad", "1.2 ratio", "", "<= 1.15 missed", "")),
    (ROWS[3], ("gone", "absent", "", "<= 1.15", "no device")),
    (ROWS[4], ("many", "3.6 ratio", "", ">= 3.5 met", "")),
    (ROWS[5], ("few", "3.4 ratio", "", ">= 3.5 missed", "")),
])
def test_a_row_says_value_spread_and_whether_the_target_is_kept(row, cells):
    assert row.cells() == cells


def test_the_table_names_the_machine_and_holds_every_row():
    table = RESULTS.table().splitlines()
    assert table[0] == "machine: cpu a CPU, threads 1" and table[1] == "settings: videos 7"
    for row in ROWS:
        assert any(line.startswith(row.name) for line in table)
    assert "gone: no device" in table


def test_saved_json_and_markdown_hold_every_row(tmp_path):
    data, text = RESULTS.save(tmp_path / "new" / "folder")
    record = json.loads(data.read_text())
    assert record["machine"] == RESULTS.machine and record["settings"] == RESULTS.settings
    assert [(row["name"], row["value"], row["met"]) for row in record["rows"]] == [
        ("step", 2.0, None), ("good | fine", 1.1, True), ("bad", 1.2, False), ("gone", None, None),
        ("many", 3.6, True), ("few", 3.4, False)]
    table = [line for line in text.read_text().splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(ROWS)
    assert {line.replace("\\|", "").count("|") for line in table} == {6}


def test_machine_facts_name_the_blas_that_torch_was_built_with():
    facts = machine_facts()
    assert facts["torch"] == torch.__version__ and facts["threads"] == torch.get_num_threads()
    assert facts["blas"].split()[0] in torch.__config__.show()
    json.dumps(facts)
