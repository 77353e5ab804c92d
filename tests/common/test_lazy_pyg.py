"""PyG loads its datasets, its llm package and the compiler at first use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Each runs in an interpreter of its own, and asserts.
SCRIPTS = {
    "nothing is loaded before its first use, by attribute": """
import avsgn_pyg, inspect, sys, torch_geometric as pyg, torch_geometric.nn, torch_geometric.data
inspect.getmodule(pyg.nn.GCNConv)
pyg.nn.GATConv(2, 2)
assert {"torch_geometric.datasets", "torch_geometric.llm"} <= set(sys.modules)
assert not {"transformers", "torch._dynamo", "torch_geometric.datasets.planetoid"} & set(sys.modules)
assert "Planetoid" in dir(pyg.datasets)
assert pyg.datasets.FakeHeteroDataset(num_graphs=1)[0].num_nodes
assert pyg.llm.RAGQueryLoader.__module__.startswith("torch_geometric")

import torch
from torch_geometric.isinstance import is_torch_instance
layer = pyg.nn.GCNConv(2, 2)
assert is_torch_instance(torch.compile(layer), pyg.nn.GCNConv) and not is_torch_instance(layer, torch.nn.Linear)

import importlib.util
if importlib.util.find_spec("transformers"):
    import transformers
    assert transformers.CLIPConfig().model_type == "clip"
""",
    "by import of a module, and of all names": """
import avsgn_pyg
from torch_geometric.datasets.elliptic_temporal import EllipticBitcoinTemporalDataset
from torch_geometric.datasets import *
assert FakeHeteroDataset(num_graphs=1)[0].num_nodes
from torch_geometric.llm.models import GRetriever
assert GRetriever.__module__.startswith("torch_geometric")
""",
    "an earlier import of PyG keeps its modules": """
import torch_geometric, avsgn_pyg
assert type(torch_geometric.datasets).__name__ == "module"
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_deferred_modules_of_pyg(name: str) -> None:
    pytest.importorskip("torch_geometric.llm")
    done = subprocess.run([sys.executable, "-c", SCRIPTS[name]], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
