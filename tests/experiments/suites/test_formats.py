"""The same table in three formats, each of which its reader can read."""

from __future__ import annotations

import csv
import io
import re

import pytest

from avsgn_pyg.experiments.suites.formats import csv_text, escape, latex, markdown, write_tables
from avsgn_pyg.experiments.suites.tables import HEADINGS, Line, Table

CELLS = ("30.83 ± 1.18", "[1.0, 2.0]", "83.1", "−1.0 [−2.0, +0.1]", "–", "1", "2", "3", "5")
TABLE = Table(
    title="A & B_c, 50 %",
    groups=((Line("AVEL|x", (1,), ("",) * 9),), (Line("[✓] ✗ τ ~ ^ \\ # $ {}", (1, 2), CELLS),)),
    notes=("± is < spread",),
    footnotes=("a_b", "100 % & more"),
    records=({"row": "a,b", "x": 0.1 + 0.2, "y": None}, {"row": "c", "z": float("nan"), "x": 1.0}),
    runs=({"row": "a,b", "seed": 0, "x": 0.1}, {"row": "a,b", "seed": 1, "x": 0.2}),
    videos=({"row": "a,b", "seed": 0, "17": 9, "20": 10},),
)


def test_markdown_has_a_cell_for_every_heading():
    rows = [line for line in markdown([TABLE]).splitlines() if line.startswith("|")]
    counts = {len(re.split(r"(?<!\\)\|", row)) - 2 for row in rows}
    assert counts == {len(HEADINGS)} and len({len(row) for row in rows}) == 1
    assert "AVEL\\|x<sup>1</sup>" in rows[2] and "<sup>1,2</sup>" in rows[3]
    assert "\n1. a_b\n2. 100 % & more\n" in markdown([TABLE])


def test_csv_is_read_back_unrounded_and_empty_where_nothing_is():
    first, second = csv.DictReader(io.StringIO(csv_text(TABLE.records)))
    assert first["row"] == "a,b" and float(first["x"]) == 0.1 + 0.2 and first["y"] == first["z"] == ""
    assert second["z"] == "" and float(second["x"]) == 1.0


def balanced(text: str) -> bool:
    """Every group, environment and formula that is opened is closed."""
    depth = 0
    for sign in re.findall(r"(?<!\\)(?:\\\\)*([{}])", text):
        depth += 1 if sign == "{" else -1
        if depth < 0:
            return False
    begun, ended = (re.findall(rf"\\{word}{{(\S+?)}}", text) for word in ("begin", "end"))
    return depth == 0 and sorted(begun) == sorted(ended) and len(re.findall(r"(?<!\\)\$", text)) % 2 == 0


def test_latex_is_balanced_and_every_line_has_its_columns():
    text = latex([TABLE])
    assert balanced(text)
    body = text[text.index("\\toprule"):text.index("\\bottomrule")]
    rows = [line for line in body.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 3
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(HEADINGS)}
    columns = re.search(r"\\begin{tabular}{(\w+)}", text)
    assert columns is not None and len(columns[1]) == len(HEADINGS)


def test_latex_is_never_wider_than_the_text_and_breaks_its_headings():
    text = latex([TABLE])
    assert "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n\\begin{tabular}" in text
    assert "graphicx" in text.splitlines()[0]
    assert "\\shortstack{segment\\strut\\\\accuracy\\strut}" in text
    assert "\\shortstack{event\\strut\\\\F1 @ 0.7\\strut}" in text


def test_latex_never_meets_a_letter_that_it_reads_otherwise():
    own = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" "\n"
    text = latex([TABLE]).replace(own, "", 1)
    bare = re.sub(r"\\.", "", text.split("\n", 1)[1])
    assert not re.search(r"[#%~^_<>]", bare)
    # After a line's end a bracket would be an argument of it.
    assert not re.search(r"\\\\\s*\[(?!2pt)", text)


@pytest.mark.parametrize("text", ["{", "}", "$", "\\", "{[}", "a_b^c~d#e%f&g<h>i±−–✓✗×→τλΩ℧Φσ"])
def test_escaped_text_is_balanced_ascii(text: str):
    assert balanced(escape(text)) and escape(text).isascii()


def test_an_unbalanced_text_is_seen():
    assert not balanced("{") and not balanced("}{") and not balanced("\\begin{a}\\end{b}") and not balanced("$")


def test_five_files_are_written(tmp_path):
    paths = write_tables([TABLE], tmp_path / "new", "t")
    assert [path.name for path in paths] == ["t.md", "t.csv", "t.tex", "t.runs.csv", "t.videos.csv"]
    assert [path.read_text() for path in paths] == [
        markdown([TABLE]), csv_text(TABLE.records), latex([TABLE]), csv_text(TABLE.runs),
        csv_text(TABLE.videos)]
