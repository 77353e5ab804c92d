"""The table of convolutions: options of a row, and errors for others."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Literal

import pytest
from torch import nn

from avsgn_pyg.engine.zoo import Shape, build_model
from avsgn_pyg.layers import convs
from avsgn_pyg.layers.convs import CONVS, ConvRow, Count, build_conv


@pytest.mark.parametrize(("conv", "options", "words"), [
    ("gnc", {}, "'gnc'.*gcn"),
    ("gcn", {"heads": 2}, r"'heads'.*bias"),
    ("gat", {"heads": 3}, "dim=8.*heads=3"),
    ("gat", {"heads": True}, "heads=True.*integer"),
    ("gatv2", {"heads": 0}, "heads=0.*at least 1"),
    ("transformer", {"dropout": 1}, r"dropout=1.*\[0, 1\)"),
    ("appnp", {"alpha": 1.5}, r"alpha=1.5.*\[0, 1\]"),
    ("tag", {"K": 2.0}, "K=2.0.*integer"),
    ("graph", {"aggr": "median"}, "aggr='median'.*max"),
    ("graph", {"aggr": ["add"]}, r"aggr=\['add'\]"),
    ("gin", {"train_eps": "yes"}, "train_eps='yes'"),
    ("gen", {"t": "hot"}, "t='hot'.*number"),
    ("resgated", {"bias": 1}, "bias=1"),
])
def test_an_option_that_cannot_be_used_is_named(conv: str, options: dict, words: str):
    with pytest.raises(ValueError, match=words):
        build_conv(conv, 8, options)


def test_options_of_a_user_s_layer_are_checked_by_annotation(monkeypatch: pytest.MonkeyPatch):
    def mine(dim: int, *, depth: Count = 1, kind: Literal["a", "b"] = "a", free=None) -> nn.Module:
        return nn.Linear(dim, depth)

    monkeypatch.setitem(CONVS, "mine", ConvRow(mine, "edge_weight"))
    mine.__annotations__ = {"dim": int, "depth": Count, "kind": Literal["a", "b"]}
    assert build_conv("mine", 8, {"depth": 3, "free": object()}).out_features == 3
    with pytest.raises(ValueError, match="depth=0"):
        build_conv("mine", 8, {"depth": 0})
    with pytest.raises(ValueError, match="kind='c'"):
        build_conv("mine", 8, {"kind": "c"})


def test_a_row_has_an_edge_weight_or_edge_attr():
    with pytest.raises(ValueError, match=r"'edge_color'.*edge_weight or edge_attr"):
        ConvRow(lambda dim: nn.Identity(), "edge_color")


def test_the_code_of_add_a_layer_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "add_a_layer.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 4
    script = tmp_path / "followed.py"
    script.write_text("\n".join(blocks), encoding="utf-8")  # PyG reads a layer's source, so it needs a file
    monkeypatch.setattr(convs, "CONVS", dict(CONVS))
    spec = importlib.util.spec_from_file_location("followed", script)
    followed = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "followed", followed)
    spec.loader.exec_module(followed)
    model = build_model(followed.config.model, Shape(8, 8, 5, 3))
    assert type(model.cmgi.layers["av"][0].conv.conv) is followed.Contrast
    assert model.cmgi.layers["av"][0].conv.conv.lin.bias is None
    assert "contrast" not in CONVS
    with pytest.raises(ValueError, match="bias='no'"):
        convs.build_conv("contrast", 8, {"bias": "no"})
