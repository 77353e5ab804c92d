"""A reliability figure: a panel for each kind of prediction, empty bins without a bar."""

from __future__ import annotations

import numpy as np
import pytest

from avsgn_pyg.visualize.reliability import Curve, reliability_figure

CURVE = Curve(np.array([0.0, 3000.0, 1.0, 400.0]), np.array([0, 0.3, 0.6, 0.9]), np.array([0, 0.25, 1, 0.5]), 7.25)


def test_bars_end_at_the_observed_frequency_and_texts_do_not_overlap(texts_of):
    figure = reliability_figure("a long name of a data set " * 5, dict.fromkeys(("class", "event in a second"), CURVE))
    frequencies, counts = figure.axes[:2]
    assert [(bar.get_x(), bar.get_height()) for bar in frequencies.patches] == [(0.25, 0.25), (0.5, 1.0), (0.75, 0.5)]
    assert [bar.get_height() for bar in counts.patches] == [0, 3000, 1, 400]
    assert {"calibration error 7.2 %", "event in a second", "3000", "observed frequency"} <= set(texts_of(figure))


def test_no_panel_is_refused():
    with pytest.raises(ValueError, match="panels"):
        reliability_figure("", {})
