"""The look of the figures, and how they reach a file."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from avsgn_pyg.visualize.theme import COLOURS, SEQUENTIAL, save_figure, styled, text_width

# A linear RGB colour as an eye without one kind of cone sees it (Machado, Oliveira and Fernandes, 2009).
EYES = {
    "full": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}


def linear(colour):
    channels = np.array(to_rgb(colour))
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """CIE L*a*b* (D65) of a linear RGB colour."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eye", EYES)
def test_modalities_and_event_stay_apart_for_every_eye(eye):
    seen = {name: lab(EYES[eye] @ linear(COLOURS[name])) for name in ("audio", "visual", "text", "event")}
    for one, other in itertools.combinations(seen, 2):
        # Ten times what is just noticed.
        assert np.linalg.norm(seen[one] - seen[other]) > 23, (one, other)


def test_modalities_and_event_differ_in_greyscale():
    lightness = sorted(lab(linear(COLOURS[name]))[0] for name in ("audio", "visual", "text", "event"))
    assert min(np.diff(lightness)) > 10


def test_the_sequential_map_only_darkens():
    lightness = [lab(linear(colour))[0] for colour in colormaps[SEQUENTIAL](np.linspace(0, 1, 101))]
    assert np.all(np.diff(lightness) < 0) and lightness[0] > 95 and lightness[-1] < 30


def test_the_style_is_gone_after_the_figure():
    before = dict(matplotlib.rcParams)
    with styled():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before


def test_text_width_grows_with_text_and_size():
    assert text_width("Mandolin", 16.0) == pytest.approx(2 * text_width("Mandolin", 8.0), rel=0.02)
    assert text_width("Mandolin, Banjo", 8.0) > text_width("Mandolin", 8.0) > 0.4
    assert text_width(" ", 8.0) == text_width("", 8.0) == 0


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_a_figure_is_the_same_file_every_time(tmp_path, suffix, magic):
    def draw(name):
        with styled():
            figure = Figure(figsize=(1, 1))
            figure.add_subplot().plot([0, 1], [1, 0], label="a")
        return save_figure(figure, tmp_path / "new" / f"{name}{suffix}").read_bytes()

    once = draw("once")
    assert once.startswith(magic)
    assert once == draw("again")


@pytest.mark.parametrize("name", ["figure.jpg", "figure"])
def test_another_suffix_is_an_error_before_anything_is_written(tmp_path, name):
    with pytest.raises(ValueError, match=r"one of \.png, \.svg, \.pdf"):
        save_figure(Figure(), tmp_path / "new" / name)
    assert not (tmp_path / "new").exists()
