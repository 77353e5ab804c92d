"""The label text becomes text rows, and features of any width become streams."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avsgn_pyg.model.inputs import Adapter, LabelText

C, D, T = 3, 6, 4


def test_a_bank_is_a_buffer_and_a_learned_one_a_parameter():
    banks = torch.randn(C, D), torch.randn(C, D)
    frozen, learned = (LabelText(*banks, rows=T, learned=learned) for learned in (False, True))
    assert {"visual", "audio"} <= dict(frozen.named_buffers()).keys() - dict(frozen.named_parameters()).keys()
    assert {"visual", "audio"} <= dict(learned.named_parameters()).keys()


def test_the_projection_acts_on_the_label_axis_and_rows_are_counted():
    text = LabelText(torch.randn(C, D), torch.randn(C, D), rows=T)
    rows = text(nn.Identity(), nn.Identity())
    expected = text.project.weight @ torch.cat((text.visual, text.audio)) + text.project.bias[:, None]
    torch.testing.assert_close(rows, expected)
    assert text.rows == len(rows) == T
    assert LabelText(torch.randn(C, D), torch.randn(C, D), rows=None).rows == 2 * C


def test_each_bank_passes_its_own_modality_s_adapter():
    text = LabelText(torch.randn(C, D), torch.randn(C, 5), rows=None)
    visual, audio = Adapter(D, 7, norm=False, dropout=0.0), Adapter(5, 7, norm=True, dropout=0.0)
    torch.testing.assert_close(text(visual, audio), torch.cat((visual(text.visual), audio(text.audio))))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_an_adapter_without_width_and_norm_is_the_identity_in_evaluation(dropout: float):
    x = torch.randn(2, T, D)
    assert torch.equal(Adapter(D, None, norm=False, dropout=dropout).eval()(x), x)
