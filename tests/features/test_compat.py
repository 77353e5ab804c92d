"""torchvision of CUDA beside torch without it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from avsgn_pyg.features import compat


def test_torchvision_imports_once_its_operators_are_declared():
    """In a fresh interpreter: whether torchvision fits this torch or not, transforms work and nms is not faked."""
    code = """
from avsgn_pyg.features.compat import declare_torchvision_ops
first, second = declare_torchvision_ops(), declare_torchvision_ops()
import torch, torchvision
from torchvision import ops, transforms
assert transforms.CenterCrop(2)(torch.zeros(3, 4, 4)).shape == (3, 2, 2)
if first:
    try:
        ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (NotImplementedError, RuntimeError):
        pass
    else:
        raise SystemExit("nms answered without its library")
print(first, second, declare_torchvision_ops())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    first, *later = run.stdout.split()
    assert first in ("True", "False") and later == ["False", "False"]


@pytest.mark.parametrize(("holds", "wants"), [(b"..libtorch_cuda.so..", True), (b"..libtorch_cpu.so..", False)])
def test_a_build_is_told_by_what_it_links(tmp_path: Path, holds: bytes, wants: bool):
    (tmp_path / "_C.so").write_bytes(holds)
    assert compat.wants_cuda(tmp_path) is wants


def test_a_build_without_a_compiled_part_wants_nothing(tmp_path: Path):
    assert not compat.wants_cuda(tmp_path)


@pytest.fixture
def undeclared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As if nothing were declared or loaded, on a torch without CUDA, beside the torchvision of a made folder."""
    monkeypatch.setattr(compat, "_declared", [])
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.library, "Library", lambda *_: _Library())
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").touch()
    (tmp_path / "torchvision" / "_C.so").write_bytes(b"libtorch_cuda.so")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    return tmp_path / "torchvision"


class _Library:
    """Takes declarations without telling torch, which would refuse a second one."""

    def define(self, schema: str) -> None:
        assert schema.split("(")[0] in compat.OPERATORS


def test_operators_are_declared_where_they_are_missing(undeclared: Path):
    assert compat.declare_torchvision_ops()


def test_nothing_is_declared_for_a_torch_with_cuda(undeclared: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert not compat.declare_torchvision_ops()


def test_nothing_is_declared_beside_a_torchvision_for_the_cpu(undeclared: Path):
    (undeclared / "_C.so").write_bytes(b"libtorch_cpu.so")
    assert not compat.declare_torchvision_ops()


def test_nothing_is_declared_without_torchvision(undeclared: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [])
    assert not compat.declare_torchvision_ops()


def test_nothing_is_declared_once_torchvision_is_loaded(undeclared: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "torchvision", compat)
    assert not compat.declare_torchvision_ops()
