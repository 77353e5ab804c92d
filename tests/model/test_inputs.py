"""Label text and features pass adapters."""

from __future__ import annotations

import pytest
import torch

from avsgn_pyg.model.inputs import Adapter, LabelText

C, D, T = 3, 6, 4


def test_each_bank_is_adapted_by_its_modality():
    text = LabelText(torch.randn(C, D), torch.randn(C, 5), rows=None)
    visual, audio = Adapter(D, 7, norm=False, dropout=0.0), Adapter(5, 7, norm=True, dropout=0.0)
    torch.testing.assert_close(text(visual, audio), torch.cat((visual(text.visual), audio(text.audio))))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_adapter_without_width_and_norm_is_the_identity_in_evaluation(dropout: float):
    x = torch.randn(2, T, D)
    assert torch.equal(Adapter(D, None, norm=False, dropout=dropout).eval()(x), x)
