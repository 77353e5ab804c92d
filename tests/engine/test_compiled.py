"""A compiled model is the model: values, gradients, training, and an error where it cannot be."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
import torch.utils._pytree as pytree
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch_geometric.data import Batch

from avsgn_pyg.config import load_config
from avsgn_pyg.engine.compiled import _DROPOUT, CompiledModel, CompileError
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.topology import COMPLETE, Topology
from avsgn_pyg.model.avsgn import AVSGN
from avsgn_pyg.parsing.training import build_parser
from avsgn_pyg.zoo import Shape, build_model

T, WIDTH, CLASSES = 3, 8, 4
SMALL = ["model.dim=8", "model.cmsa.heads=2", "model.cmgi.layers=1"]


@pytest.fixture(autouse=True)
def _fresh_compiler():
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


def make_batch(videos: int = 2, topology: Topology = COMPLETE, lengths: list[int] | None = None) -> Batch:
    shape = (videos, T, WIDTH) if lengths is None else (sum(lengths), WIDTH)
    return build_batch(torch.randn(shape), torch.randn(shape), text_nodes=T, topology=topology,
                       lengths=None if lengths is None else torch.tensor(lengths))


def tensors(answer: object) -> list[Tensor]:
    parts = [getattr(answer, field.name) for field in dataclasses.fields(answer)]
    return [part for part in pytree.tree_leaves(parts) if isinstance(part, Tensor)]


def total(answer: object) -> Tensor:
    return sum(part.square().mean() for part in tensors(answer) if part.requires_grad)


@pytest.mark.parametrize(("overrides", "parser"), [
    ((), False),
    (("model.cmgi.conv=transformer", "model.time_encoding=relative"), False),
    (("model.text.slots=per_class", "model.cmgi.subgraphs=[av, at]"), True),
])
def test_values_and_gradients_are_the_models(overrides, parser):
    model = make_model(*overrides, parser=parser)
    batch = make_batch() if not parser else build_batch(torch.randn(2, T, WIDTH), torch.randn(2, T, WIDTH),
                                                        text_nodes=2 * CLASSES)
    compiled = CompiledModel(model, backend="aot_eager")
    expected, found = model(batch), compiled(batch)
    assert type(found) is type(expected)
    for mine, theirs in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    parameters = [value for value in model.parameters() if value.requires_grad]
    theirs = torch.autograd.grad(total(expected), parameters, allow_unused=True)
    mine = torch.autograd.grad(total(found), parameters, allow_unused=True)
    for name, one, other in zip(dict(model.named_parameters()), mine, theirs, strict=True):
        other = torch.zeros_like(model.get_parameter(name)) if other is None else other
        torch.testing.assert_close(torch.zeros_like(other) if one is None else one, other, rtol=1e-10, atol=1e-12,
                                   msg=name)


def test_training_the_compiled_model_trains_the_model_and_draws_dropout_anew():
    model, batch = make_model("model.dropout.graph=0.5").train(), make_batch()
    compiled = CompiledModel(model, backend="eager")
    first, second = compiled(batch).category, compiled(batch).category
    assert not torch.equal(first, second)
    before = model.head.classify.category.weight.detach().clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    total(compiled(batch)).backward()
    optimizer.step()
    assert not torch.equal(model.head.classify.category.weight, before)
    model.eval()
    torch.testing.assert_close(compiled(batch).category, model(batch).category)


def test_dropout_is_that_of_torch_and_two_of_one_input_differ():
    x = torch.randn(400, 10, requires_grad=True)
    traced = make_fx(lambda x: (F.dropout(x, 0.25), F.dropout(x, 0.25)), _DROPOUT, pre_dispatch=True)(x)
    one, two = torch.compile(traced, backend="aot_eager")(x)
    assert not torch.equal(one, two) and 0.2 < (one == 0).double().mean() < 0.3
    torch.testing.assert_close(one[one != 0], x[one != 0] / 0.75)
    gradient, = torch.autograd.grad(one.sum(), x)
    torch.testing.assert_close(gradient, (one != 0) / 0.75)


def test_another_size_is_another_program_and_the_same_size_is_not(monkeypatch):
    made, compile_ = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: made.append(1) or compile_(*args, **kwargs))
    model = make_model()
    compiled = CompiledModel(model, backend="eager")
    for videos in (2, 3, 2, 3):
        batch = make_batch(videos)
        torch.testing.assert_close(compiled(batch).relevance, model(batch).relevance)
    assert len(made) == 2


@pytest.mark.parametrize(("overrides", "batch", "words"), [
    ((), {"topology": Topology("window", 1)}, "edge list"),
    (("model.cmgi.backend=native",), {}, "edge list"),
    (("model.text.slots=per_class",), {"lengths": [2, 3]}, "equally long"),
])
def test_what_cannot_be_compiled_is_an_error(overrides, batch, words):
    with pytest.raises(CompileError, match=words):
        CompiledModel(make_model(*overrides), backend="eager")(make_batch(**batch))


def test_edges_that_were_removed_are_noticed_after_a_program_was_made():
    compiled, batch = CompiledModel(make_model(), backend="eager"), make_batch()
    compiled(batch)
    kind = batch.edge_types[0]
    batch[kind].edge_index = batch[kind].edge_index[:, 1:]
    with pytest.raises(CompileError, match="edge list"):
        compiled(batch)


def test_a_failing_compiler_is_an_error():
    with pytest.raises(CompileError, match="no such backend"):
        CompiledModel(make_model(), backend="no such backend")(make_batch())


@pytest.mark.slow
def test_inductor_gives_the_models_values_and_gradients():
    torch.set_default_dtype(torch.float32)
    model, batch = make_model("model.cmgi.subgraphs=[av]", "model.cmsa.intra_clip=false", "model.cmsa.intra_clap=false",
                              "model.cmsa.inter_text=false", "model.cmsa.inter_visual=false"), make_batch()
    compiled = CompiledModel(model)
    expected, found = model(batch), compiled(batch)
    torch.testing.assert_close(found.category, expected.category, rtol=1e-5, atol=1e-5)
    parameters = list(model.cmgi.parameters())
    theirs, mine = (torch.autograd.grad(total(answer), parameters) for answer in (expected, found))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_compiling_leaves_random_numbers_and_buffers_as_they_were():
    model = make_model("model.cmgi.conv=gen", "model.cmgi.conv_options={norm: batch}").train()
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
    assert torch.equal(after, torch.rand(1))  # a program that is there draws as one that was just made
