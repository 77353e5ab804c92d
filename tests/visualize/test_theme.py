"""The look of the figures, and how they reach a file."""

from __future__ import annotations

from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from avsgn_pyg.visualize.theme import clipped, save_figure, short_names, spread, start_figure, styled, text_width


def test_a_figure_does_not_change_matplotlib_s_style():
    before = dict(matplotlib.rcParams)
    with styled():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_figure_is_the_same_file_every_time(tmp_path, suffix, magic):
    def draw(name):
        with styled():
            figure = Figure(figsize=(1, 1))
            figure.add_subplot().plot([0, 1], [1, 0], label="a")
        return save_figure(figure, tmp_path / "new" / f"{name}{suffix}").read_bytes()

    assert draw("once") == draw("again") and draw("once").startswith(magic)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_name_that_xml_forbids_is_drawn_without_what_is_forbidden(tmp_path, suffix):
    with styled():
        figure, _ = start_figure("Bark\x01\ud800 & <b>", 4.0, 1.0, notes=["caf\udce9"])
        figure.text(0.5, 0.5, "\x0b\uffff")
    path = save_figure(figure, tmp_path / f"figure{suffix}")
    if suffix == ".svg":
        assert "Bark &amp;" in "".join(path.read_text("utf-8").split("<!--")[1:])
        ElementTree.parse(path)


def test_another_suffix_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf"):
        save_figure(Figure(), tmp_path / "new" / "figure.jpg")
    assert not (tmp_path / "new").exists()


def test_places_that_meet_are_spread_around_where_they_were():
    assert spread(np.array([5.0, 1.0]), 1.0, 0.0, 9.0).tolist() == [5.0, 1.0]
    assert spread(np.array([5.0, 5.0, 1.0]), 1.0, 0.0, 9.0) == pytest.approx([4.5, 5.5, 1.0])
    assert spread(np.array([9.0, 8.9, 8.8]), 1.0, 0.0, 9.0) == pytest.approx([9.0, 8.0, 7.0])


def test_names_are_shortened_where_they_still_differ():
    assert short_names(["Male speech, man speaking", "Frying (food)", "Bus"]) == ["Male speech", "Frying", "Bus"]
    assert short_names(["Bark (seen)", "Bark (heard)"]) == ["Bark (seen)", "Bark (heard)"]


def test_a_name_without_room_ends_in_dots():
    short = clipped("Fixed-wing aircraft", 0.5, 6.0)
    assert short.startswith("Fixed") and short.endswith("…") and text_width(short, 6.0) <= 0.5
    assert clipped("Bus", 0.5, 6.0) == "Bus"
