"""The look of the figures, and how they reach a file."""

from __future__ import annotations

import matplotlib
import pytest
from matplotlib.figure import Figure

from avsgn_pyg.visualize.theme import save_figure, styled


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


def test_another_suffix_is_an_error_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf"):
        save_figure(Figure(), tmp_path / "new" / "figure.jpg")
    assert not (tmp_path / "new").exists()
