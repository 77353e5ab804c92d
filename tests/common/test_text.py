"""Foreign text in XML, CSV and file names."""

from xml.etree import ElementTree

import pytest

from avsgn_pyg.common.text import csv_cell, file_name, printable


def test_printable_text_is_xml():
    everything = "".join(map(chr, range(0x110000)))
    document = ElementTree.Element("a")
    document.text = printable(everything)
    read = ElementTree.fromstring(ElementTree.tostring(document, encoding="utf-8")).text
    assert read == document.text.replace("\r\n", "\n").replace("\r", "\n")
    assert printable("Bärk\t(Hund) 🐕") == "Bärk\t(Hund) 🐕" and printable("a\x00\x1b\ud800\uffffb") == "ab"
    assert printable("caf\udce9.mp4") == r"caf\xe9.mp4"


@pytest.mark.parametrize("text", [
    "=cmd|' /C calc'!A0", "+1", "-2+3", "-cmd|'!A0", "-SUM(A1)", "@SUM(A1)", "\t=1", "\r=1", "\x00=1",
])
def test_a_formula_is_escaped_and_nothing_else(text: str):
    assert csv_cell(text) == "'" + printable(text)
    others = ["a-b", "-PE8geTWt-g", "", -1.5, None]
    assert list(map(csv_cell, others)) == others


@pytest.mark.parametrize("text", [
    "a:b?", "a/../../b", "nul", "COM1.x", "ends.", "ends ", "", "..", "caf\udce9", "x" * 300, "ä" * 200, "a\nb",
])
def test_a_name_that_some_system_cannot_hold_is_replaced_by_one_of_its_own(text: str, tmp_path):
    name = file_name(text)
    assert file_name(name) == name != text and len(name.encode()) <= 200 and name[-9] == "-"
    assert file_name(text + "?") != name
    (tmp_path / name).touch()
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("text", ["-PE8geTWt-g", "Frying (food)", "ä b", "console", ".hidden"])
def test_any_other_name_is_kept(text: str):
    assert file_name(text) == text
