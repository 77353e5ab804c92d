"""PyG without its datasets, its llm package and the compiler, until somebody asks for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_pyg_is_imported_without_transformers_and_compiler() -> None:
    loaded = run("import avsgn_pyg, torch_geometric.nn, torch_geometric.data, sys; print(*sys.modules)").split()
    assert {"torch_geometric", "torch_geometric.datasets", "torch_geometric.llm"} <= set(loaded)
    assert not {"transformers", "torch._dynamo", "torch_geometric.datasets.planetoid"} & set(loaded)


@pytest.mark.parametrize("code", [
    "import torch_geometric; found = torch_geometric.datasets.FakeHeteroDataset",
    "from torch_geometric.datasets.fake import FakeHeteroDataset as found",
    "from torch_geometric.datasets import *; found = FakeHeteroDataset",
])
def test_a_data_set_is_there_when_it_is_asked_for(code: str) -> None:
    assert run(f"import avsgn_pyg; {code}; print(found(num_graphs=1)[0].is_undirected() in (True, False))") == "True"


@pytest.mark.parametrize("code", [
    "import torch_geometric; found = torch_geometric.llm.RAGQueryLoader",
    "from torch_geometric.llm.models import GRetriever as found",
])
def test_the_llm_package_is_there_when_it_is_asked_for(code: str) -> None:
    pytest.importorskip("torch_geometric.llm")
    assert run(f"import avsgn_pyg; {code}; print(found.__module__.partition('.')[0])") == "torch_geometric"


def test_the_names_of_the_data_sets_are_listed() -> None:
    assert "Planetoid" in run("import avsgn_pyg, torch_geometric; print(dir(torch_geometric.datasets))")


def test_transformers_imports_after_pyg() -> None:
    pytest.importorskip("transformers")
    assert run("import avsgn_pyg, torch_geometric, transformers; print(transformers.CLIPConfig().model_type)") == "clip"


def test_a_compiled_model_is_still_told_by_its_class() -> None:
    assert run(
        "import avsgn_pyg, torch, torch_geometric as pyg; from torch_geometric.isinstance import is_torch_instance\n"
        "layer = pyg.nn.GCNConv(2, 2)\n"
        "print(is_torch_instance(torch.compile(layer), pyg.nn.GCNConv), is_torch_instance(layer, torch.nn.Linear))"
    ) == "True False"


def test_looking_for_the_module_of_an_object_runs_none_of_the_deferred_parts() -> None:
    loaded = run("import avsgn_pyg, inspect, sys, torch_geometric as pyg; inspect.getmodule(pyg.nn.GCNConv)\n"
                 "pyg.nn.GATConv(2, 2); print(*sys.modules)").split()
    assert "torch_geometric.datasets.planetoid" not in loaded and "transformers" not in loaded


def test_a_pyg_that_was_imported_before_is_left_as_it_is() -> None:
    assert run("import torch_geometric, avsgn_pyg, sys; print(type(torch_geometric.datasets).__name__)") == "module"


def test_a_module_of_a_deferred_package_imports_by_itself():
    code = "import avsgn_pyg; from torch_geometric.datasets.elliptic_temporal import EllipticBitcoinTemporalDataset"
    subprocess.run([sys.executable, "-c", code], check=True)
