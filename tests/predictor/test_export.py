"""A file of an exported model gives what the model gives."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avsgn_pyg import Predictor
from avsgn_pyg.common.errors import ConfigError
from avsgn_pyg.graph.localization import Ensemble
from avsgn_pyg.predictor.export import FACTS, FixedSize, export_model

pytestmark = pytest.mark.slow

GATES = {"category", "relevance", "audio_gate", "visual_gate"}


def features(windows: int) -> tuple[Tensor, Tensor]:
    return torch.randn(windows, 10, 16), torch.randn(windows, 10, 16)


def check(outputs: dict[str, Tensor], predictor: Predictor, given: tuple[Tensor, Tensor], names: set[str]) -> None:
    """The outputs are the model's own, and differ between windows."""
    wanted = predictor.localize_windows(*given, 10)
    assert set(outputs) == names
    for name, value in outputs.items():
        expected = wanted.gates[name.removesuffix("_gate")] if name.endswith("_gate") else getattr(wanted, name)
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)
        assert not torch.equal(value[0], value[1])


@pytest.mark.parametrize(("model", "names"), [
    ({"cmgi": {"layers": 1}, "time_encoding": "relative"}, GATES),
    ({"name": "avel"}, {"category", "relevance", "segment_scores"}),
])
def test_a_pt2_gives_what_the_model_gives(checkpoint: Any, tmp_path: Path, model: dict[str, Any], names: set[str]):
    predictor = Predictor.from_checkpoint(checkpoint(model=model), device="cpu")
    found, given = {FACTS: ""}, features(2)
    program = torch.export.load(export_model(predictor, tmp_path / "new" / "model.pt2", windows=2), extra_files=found)
    check(program.module()(*given), predictor, given, names)
    operations = [node.target for node in program.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    assert {operation.namespace for operation in operations} == {"aten"}  # runs without this package
    facts = json.loads(found[FACTS])
    assert facts["categories"] == list(predictor.categories) and facts["segments"] == 10


def test_an_onnx_file_gives_what_the_model_gives(predictor: Predictor, tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    session = onnxruntime.InferenceSession(export_model(predictor, tmp_path / "model.onnx", windows=3))
    given = features(3)
    names = [output.name for output in session.get_outputs()]
    outputs = session.run(names, dict(zip(("audio", "visual"), (part.numpy() for part in given), strict=True)))
    check(dict(zip(names, map(torch.from_numpy, outputs), strict=True)), predictor, given, GATES)
    assert json.loads(session.get_modelmeta().custom_metadata_map[FACTS])["windows"] == 3


@pytest.mark.parametrize("cmgi", [{"topology": "window", "window": 3}, {"topk": 3}, {"backend": "native"}])
def test_a_model_on_edge_lists_is_refused(checkpoint: Any, tmp_path: Path, cmgi: dict[str, Any]):
    model = {"cmgi": cmgi, "text": {"slots": "per_class"}}
    predictor = Predictor.from_checkpoint(checkpoint(model=model), device="cpu")
    with pytest.raises(ConfigError, match=r"edge list.*topology=complete"):
        export_model(predictor, tmp_path / "model.pt2")
    with pytest.raises(ConfigError, match="edge list"):
        FixedSize(Ensemble([predictor.model]), predictor.graph(*features(1)))


@pytest.mark.parametrize(("name", "windows"), [("model.pt", 1), ("model.pt2", 0)])
def test_another_suffix_and_no_window_are_refused(predictor: Predictor, tmp_path: Path, name: str, windows: int):
    with pytest.raises(ConfigError, match=r"pt2 or \.onnx for 1 or more"):
        export_model(predictor, tmp_path / name, windows=windows)


def test_other_labels_are_refused(checkpoint: Any, tmp_path: Path):
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu", labels=["siren", "cat"])
    with pytest.raises(ConfigError, match="trained classes"):
        export_model(predictor, tmp_path / "model.pt2")


@pytest.mark.skipif(find_spec("onnxscript") is not None, reason="onnxscript is installed")
def test_onnx_without_its_packages_says_what_to_install(checkpoint: Any, tmp_path: Path):
    predictor = Predictor.from_checkpoint(checkpoint(model={"name": "late_fusion"}), device="cpu")
    with pytest.raises(ConfigError, match="pip install onnx onnxscript"):
        export_model(predictor, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
