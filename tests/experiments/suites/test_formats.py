"""The same table in three formats, each of which its reader can read."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from avsgn_pyg.experiments.suites.formats import csv_text, escape, latex, markdown, write_tables
from avsgn_pyg.experiments.suites.tables import HEADINGS, Line, Table

CELLS = ("30.83 ± 1.18", "[1.0, 2.0]", "83.1", "−1.0 [−2.0, +0.1]", "–", "1", "2", "3", "4", "5")
TABLE = Table(
    title="A & B_c, 50 %",
    groups=((Line("AVEL|x", (1,), ("",) * 10), Line("[✓] ✗ τ ~ ^ \\ # $ {}", (1, 2), CELLS)),),
    notes=("± is < spread",),
    footnotes=("a_b", "100 % & more"),
    records=({"row": "a,b", "x": 0.1 + 0.2, "y": None}, {"row": "c", "z": float("nan"), "x": 1.0}),
    runs=({"row": "a,b", "seed": 0, "x": 0.1}, {"row": "a,b", "seed": 1, "x": 0.2}),
    videos=({"row": "a,b", "seed": 0, "17": 9, "20": 10},),
)


def test_markdown_has_a_cell_for_every_heading():
    rows = [line for line in markdown([TABLE]).splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows} == {len(HEADINGS)}
    assert len({len(row) for row in rows}) == 1
    assert "AVEL\\|x<sup>1</sup>" in rows[2] and "<sup>1,2</sup>" in rows[3]
    assert "\n1. a_b\n2. 100 % & more\n" in markdown([TABLE])


def test_csv_is_unrounded_and_empty_where_there_is_no_value():
    first, second = csv.DictReader(io.StringIO(csv_text(TABLE.records)))
    assert first["row"] == "a,b" and float(first["x"]) == 0.1 + 0.2 and first["y"] == first["z"] == ""
    assert second["z"] == "" and float(second["x"]) == 1.0


def test_a_label_that_a_spreadsheet_would_run_is_text_in_csv():
    text = csv_text([{"row": "=cmd|' /C calc'!A0", "x": -1.5}])
    assert list(csv.reader(io.StringIO(text)))[1] == ["'=cmd|' /C calc'!A0", "-1.5"]


def is_balanced(text: str) -> bool:
    """Whether every group, environment and formula that is opened is closed."""
    depths = [0]
    for sign in re.findall(r"(?<!\\)(?:\\\\)*([{}])", text):
        depths.append(depths[-1] + (1 if sign == "{" else -1))
    begun, ended = (re.findall(rf"\\{word}{{(\S+?)}}", text) for word in ("begin", "end"))
    return (min(depths) == depths[-1] == 0 and sorted(begun) == sorted(ended)
            and len(re.findall(r"(?<!\\)\$", text)) % 2 == 0)


def test_latex_is_balanced_and_every_line_has_its_columns():
    text = latex([TABLE])
    assert is_balanced(text) and not any(map(is_balanced, ("{", "}{", "\\begin{a}\\end{b}", "$")))
    body = text[text.index("\\toprule"):text.index("\\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert [len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows] == [len(HEADINGS)] * 3
    assert len(re.search(r"\\begin{tabular}{(\w+)}", text)[1]) == len(HEADINGS)


def test_latex_has_no_special_characters():
    own = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" "\n"
    text = latex([TABLE]).replace(own, "", 1)
    assert not re.search(r"[#%~^_<>]", re.sub(r"\\.", "", text.split("\n", 1)[1]))
    assert not re.search(r"\\\\\s*\[(?!2pt)", text)  # after the end of a line a bracket would be its argument


@pytest.mark.parametrize("text", ["{[}$\\", "a_b^c~d#e%f&g<h>i±−–✓✗×→τλΩ℧Φσ"])
def test_escaped_text_is_balanced_ascii(text: str):
    assert is_balanced(escape(text)) and escape(text).isascii()


def test_five_files_are_written(tmp_path: Path):
    paths = write_tables([TABLE], tmp_path / "new", "t")
    assert [path.name for path in paths] == ["t.md", "t.csv", "t.tex", "t.runs.csv", "t.videos.csv"]
    assert [path.read_text() for path in paths] == [
        markdown([TABLE]), csv_text(TABLE.records), latex([TABLE]), csv_text(TABLE.runs), csv_text(TABLE.videos)]
