"""A compiled model has the model's outputs, gradients and training; what cannot be compiled is an error."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch_geometric.data import Batch

from avsgn_pyg.common.config import load_config
from avsgn_pyg.engine.compiled import CompiledModel, CompileError
from avsgn_pyg.engine.zoo import Shape, build_model
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.tasks.parsing.training import build_parser

pytestmark = pytest.mark.slow

T, WIDTH, CLASSES = 3, 8, 4
SMALL = ("model.dim=8", "model.cmsa.heads=2", "model.cmgi.layers=1")
#: A part of the model, which compiles in a fraction of the time.
PART = ("model.cmgi.subgraphs=[av]", "model.cmsa.intra_clip=false", "model.cmsa.intra_clap=false",
        "model.cmsa.inter_text=false", "model.cmsa.inter_visual=false")


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def make_model(*overrides: str, parser: bool = False) -> AVSGN:
    torch.manual_seed(0)
    config = load_config(None, [*SMALL, *overrides]).model
    model = (build_parser if parser else build_model)(config, Shape(WIDTH, WIDTH, T, CLASSES))
    for value in (*model.parameters(), *model.buffers()):
        if value.is_floating_point():
            value.data += 0.1 * torch.randn_like(value)
    return model.eval()


def make_batch(videos: int = 2, topology: Topology = COMPLETE, lengths: list[int] | None = None,
               text_nodes: int = T) -> Batch:
    shape = (videos, T, WIDTH) if lengths is None else (sum(lengths), WIDTH)
    return build_batch(torch.randn(shape), torch.randn(shape), text_nodes=text_nodes, topology=topology,
                       lengths=None if lengths is None else torch.tensor(lengths))


def tensors(output: object) -> list[Tensor]:
    parts = [getattr(output, field.name) for field in dataclasses.fields(output)]
    return [part for part in pytree.tree_leaves(parts) if isinstance(part, Tensor)]


def total(output: object) -> Tensor:
    return sum(part.square().mean() for part in tensors(output) if part.requires_grad)


def assert_same(model: AVSGN, compiled: CompiledModel, batch: Batch, **tolerance: float) -> None:
    """Outputs and gradients agree."""
    expected, found = model(batch), compiled(batch)
    assert type(found) is type(expected)
    for mine, theirs in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)
    parameters = [value for value in model.parameters() if value.requires_grad]
    mine, theirs = (torch.autograd.grad(total(output), parameters, materialize_grads=True, allow_unused=True)
                    for output in (found, expected))
    torch.testing.assert_close(mine, theirs, **tolerance)


@pytest.mark.parametrize(("overrides", "parser", "backend"), [
    ((), False, "eager"),
    ((*PART, "model.cmgi.conv=transformer", "model.time_encoding=relative"), False, "aot_eager"),
    ((*PART, "model.text.slots=per_class", "model.cmgi.subgraphs=[av, at]"), True, "eager"),
])
def test_outputs_and_gradients_are_the_models(overrides: tuple[str, ...], parser: bool, backend: str) -> None:
    model = make_model(*overrides, parser=parser)
    batch = make_batch(text_nodes=2 * CLASSES if parser else T)
    assert_same(model, CompiledModel(model, backend=backend), batch, rtol=1e-10, atol=1e-12)


@pytest.mark.slow
def test_inductor_has_the_models_outputs() -> None:
    torch.set_default_dtype(torch.float32)
    model, batch = make_model(*PART), make_batch()
    with torch.no_grad():  # compiling the backward pass takes twice as long
        found, expected = CompiledModel(model)(batch), model(batch)
    torch.testing.assert_close(tensors(found), tensors(expected), rtol=1e-4, atol=1e-5)


def test_training_the_compiled_model_trains_the_model_and_draws_dropout_anew() -> None:
    model, batch = make_model(*PART, "model.dropout.graph=0.5").train(), make_batch()
    compiled = CompiledModel(model, backend="eager")
    assert not torch.equal(compiled(batch).category, compiled(batch).category)
    before = model.head.classify.category.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total(compiled(batch)).backward()
    optimizer.step()
    assert not torch.equal(model.head.classify.category.weight, before)
    model.eval()
    torch.testing.assert_close(compiled(batch).category, model(batch).category)


def test_each_size_is_compiled_once_and_removed_edges_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, compile_ = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: sizes.append(1) or compile_(*args, **kwargs))
    model = make_model(*PART)
    compiled = CompiledModel(model, backend="eager")
    for videos in (2, 3, 2, 3):
        batch = make_batch(videos)
        torch.testing.assert_close(compiled(batch).relevance, model(batch).relevance)
    assert len(sizes) == 2
    kind = next(kind for kind in batch.edge_types if "text" not in kind)
    batch[kind].edge_index = batch[kind].edge_index[:, 1:]
    with pytest.raises(CompileError, match="edge list"):
        compiled(batch)


@pytest.mark.parametrize(("overrides", "batch", "backend", "message"), [
    ((), {"topology": Topology("window", 1)}, "eager", "edge list"),
    (("model.cmgi.backend=native",), {}, "eager", "edge list"),
    (("model.text.slots=per_class",), {"lengths": [2, 3]}, "eager", "equally long"),
    ((), {}, "no such backend", "no such backend"),
])
def test_what_cannot_be_compiled_is_an_error(
    overrides: tuple[str, ...], batch: dict, backend: str, message: str
) -> None:
    with pytest.raises(CompileError, match=message):
        CompiledModel(make_model(*PART, *overrides), backend=backend)(make_batch(**batch))


def test_compiling_changes_neither_the_random_state_nor_buffers() -> None:
    model = make_model(*PART, "model.cmgi.conv=gen", "model.cmgi.conv_options={norm: batch}").train()
    eager, compiled, batch = copy.deepcopy(model), CompiledModel(model, backend="eager"), make_batch()
    torch.manual_seed(3)
    compiled(batch)
    after = torch.rand(1)
    torch.manual_seed(3)
    eager(batch)
    for name, buffer in eager.named_buffers():
        torch.testing.assert_close(buffer, model.get_buffer(name), rtol=1e-4, atol=1e-5)
    torch.manual_seed(3)
    compiled(batch)
    assert torch.equal(after, torch.rand(1))  # with the program compiled, the same numbers are drawn
