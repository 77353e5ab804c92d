"""Subgraphs run at once: the values and gradients of one after another, for every layer of the table."""

from __future__ import annotations

import copy
import itertools
import pickle
import threading
import warnings
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from avsgn_pyg.blocks import count_paths
from avsgn_pyg.model import convs, recording, together
from avsgn_pyg.model.cmgi import CMGI
from avsgn_pyg.model.cmsa import Streams
from avsgn_pyg.model.convs import CONVS
from avsgn_pyg.model.recording import tidy
from avsgn_pyg.model.time import SubgraphTime

B, T, D = 2, 5, 8
#: Their epsilon is a buffer, and modules with buffers run in turn.
IN_TURN = {"gin", "gine"}


def given(videos: int = B) -> Streams:
    return Streams(*(torch.randn(videos, T, D, dtype=torch.float64, requires_grad=True) for _ in range(3)))


def made(**settings: object) -> CMGI:
    return CMGI(D, **({"dropout": 0.0} | settings)).double()


def outcome(module: CMGI, streams: Streams) -> list[Tensor]:
    answer = module(streams)
    adjacency = [matrix for name in answer.adjacency for matrix in answer.adjacency[name]]
    loss = sum(rows.square().sum() for rows in (*answer[:3], *adjacency))
    leaves = [*streams, *module.parameters()]
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [*answer[:3], *adjacency, *(torch.zeros(()) if one is None else one for one in gradients)]


@pytest.fixture(autouse=True)
def _recorded_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "OFTEN", 2)


@pytest.fixture
def in_turn(monkeypatch: pytest.MonkeyPatch) -> Callable[[CMGI, Streams], list[Tensor]]:
    def run(module: CMGI, streams: Streams) -> list[Tensor]:
        with monkeypatch.context() as patch:
            patch.setattr(together, "CPU_ROWS", 0)
            return outcome(module, streams)

    return run


def recordings(module: CMGI) -> int:
    """Sizes that are repeated as a recording; one that could not be recorded is no such size."""
    return sum(found is not None for found in module._together.recorded.values())


def agree(one: list[Tensor], two: list[Tensor]) -> None:
    torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("settings", [{}, {"adjacency": "per_layer", "residual": False, "norm": "none"}],
                         ids=["default", "bare"])
def test_every_layer_gives_the_same_at_once_in_turn_and_recorded(name: str, settings: dict, in_turn: Callable):
    module, streams = made(conv=name, **settings), given()
    want = in_turn(module, streams)
    for recorded in (0, 1, 1):
        agree(outcome(module, streams), want)
        assert recordings(module) == (0 if name in IN_TURN else recorded)


@pytest.mark.parametrize("settings", [
    {"relations": "typed"}, {"subgraphs": ("av", "vt")}, {"layers": 3}, {"topology": "complete", "backend": "blocks"},
    {"time_bias": {name: SubgraphTime((True, name == "av")) for name in ("av", "vt", "at")}},
], ids=str)
def test_options_give_the_same_at_once(settings: dict, in_turn: Callable):
    module, streams = made(**settings), given()
    want = in_turn(module, streams)
    for _ in range(3):
        agree(outcome(module, streams), want)
    assert recordings(module)


@pytest.mark.parametrize("settings", [
    {"subgraphs": ("av",)}, {"conv": {"av": "gcn", "vt": "gcn", "at": "graph"}}, {"backend": "native"},
    {"topology": "window"}, {"conv": "gen", "conv_options": {"norm": "batch"}},
], ids=str)
def test_subgraphs_that_are_not_of_one_form_run_in_turn(settings: dict):
    module = made(**settings)
    for _ in range(3):
        module(given())
    assert not module._together.recorded


def test_text_of_another_length_padding_and_many_rows_run_in_turn():
    module, streams = made(), given()
    text = streams._replace(text=torch.randn(B, T + 1, D, dtype=torch.float64))
    padded = torch.tensor([[True] * T, [True] * (T - 1) + [False]])
    many = given(-(-together.CPU_ROWS // T))
    for _ in range(3):
        module(text), module(streams, padded), module(many)
    assert not module._together.recorded


def test_many_rows_are_run_at_once_where_that_is_asked_for(in_turn: Callable):
    module, streams = made(), given(-(-together.CPU_ROWS // T))
    want = in_turn(module, streams)
    with together.at_once():
        for _ in range(3):
            agree(outcome(module, streams), want)
    assert module._together.recorded


def test_a_setting_changed_in_one_subgraph_is_heard(in_turn: Callable):
    module, streams = made(conv="gat"), given()
    for _ in range(3):
        before = outcome(module, streams)
    module.subgraphs["vt"].layers[0].propagation.conv.negative_slope = 0.9
    after = outcome(module, streams)
    agree(after, in_turn(module, streams))
    assert not torch.allclose(before[1], after[1])


def test_a_setting_changed_in_all_of_them_is_not_answered_by_an_old_recording(in_turn: Callable):
    module, streams = made(conv="gat"), given()
    for _ in range(3):
        outcome(module, streams)
    for subgraph in module.subgraphs.values():
        subgraph.layers[0].propagation.conv.negative_slope = 0.9
    for _ in range(3):
        agree(outcome(module, streams), in_turn(module, streams))


def test_new_weights_are_used_by_a_recording(in_turn: Callable):
    module, streams = made(), given()
    for _ in range(3):
        outcome(module, streams)
    for weight in module.parameters():
        weight.data.normal_()
    agree(outcome(module, streams), in_turn(module, streams))


def test_dropout_is_drawn_anew_by_a_recording_and_stops_in_evaluation():
    module, streams = made(dropout=0.5), given()
    drawn = [module(streams).audio for _ in range(5)]
    assert all(not torch.equal(one, two) for one, two in itertools.pairwise(drawn))
    module.eval()
    assert torch.equal(module(streams).audio, module(streams).audio)


def test_recording_draws_no_random_number(monkeypatch: pytest.MonkeyPatch):
    module, streams, draws = made(dropout=0.5), given(), []
    for often in (2, 100):
        monkeypatch.setattr(together, "OFTEN", often)
        torch.manual_seed(0)
        fresh = copy.deepcopy(module)
        answers = [fresh(streams).audio for _ in range(2)]
        draws.append([*answers, torch.rand(3)])
        assert recordings(fresh) == (often == 2)
    assert all(torch.equal(one, two) for one, two in zip(*draws, strict=True))


def test_a_hook_inside_is_handed_one_subgraph_at_a_time():
    module, streams, shapes = made(), given(), []
    for subgraph in module.subgraphs.values():
        subgraph.layers[0].register_forward_hook(lambda _, given, out: shapes.append(tuple(out.shape)))
    module(streams)
    assert shapes == [(B, 2 * T, D)] * 3


def test_counters_see_what_ran_after_a_recording():
    module, streams = made(), given()
    for _ in range(3):
        module(streams)
    with count_paths(strict=True) as paths:
        module(streams)
    assert paths.matmul and not paths.fallback


def test_copies_and_pickles_start_without_recordings():
    module = made()
    for _ in range(3):
        module(given())
    assert module._together.recorded
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert not other._together.recorded
        assert list(other.state_dict()) == list(module.state_dict())


def test_only_the_last_recordings_are_kept():
    module = made()
    for videos in range(1, together.KEPT + 3):
        module(given(videos)), module(given(videos))
    assert len(module._together.recorded) == together.KEPT


def test_sizes_that_never_come_back_are_forgotten():
    module = made()
    for rows in range(1, 20 * together.KEPT):
        streams = Streams(*(torch.randn(1, rows % 100 + 1, D, dtype=torch.float64) for _ in range(3)))
        module.train(rows % 200 < 100)(streams)
    assert len(module._together._seen) <= 8 * together.KEPT + 1


def test_inference_mode_records_nothing_that_training_would_trip_over():
    module, streams = made(), given()
    with torch.inference_mode():
        for _ in range(3):
            module(streams)
    assert not module._together.recorded
    outcome(module, streams)


@pytest.mark.parametrize("conv", ["gcn", "gat", "gatv2", "transformer"])
def test_autocast_gives_the_same_at_once_and_recorded(conv: str, monkeypatch: pytest.MonkeyPatch):
    module = CMGI(D, dropout=0.0, conv=conv)
    streams = Streams(*(torch.randn(B, T, D) for _ in range(3)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [module(streams).audio for _ in range(3)]
        monkeypatch.setattr(together, "CPU_ROWS", 0)
        want = module(streams).audio
    assert recordings(module) == 1
    assert all(one.dtype == want.dtype for one in found)
    torch.testing.assert_close(found, [want] * 3, rtol=2e-2, atol=2e-2)


def test_weights_of_half_precision_are_recorded():
    for seed in range(5):
        torch.manual_seed(seed)
        module = CMGI(64, dropout=0.0, conv="gat").bfloat16()
        for _ in range(3):
            module(Streams(*(torch.randn(1, 10, 64, dtype=torch.bfloat16) for _ in range(3))))
        assert recordings(module) == 1


@pytest.mark.parametrize("rate", [0.0, 0.1])
@pytest.mark.parametrize(("dim", "rows"), [(8, 5), (256, 10)], ids=["torch's dropout", "sixteen bits"])
def test_a_recording_in_training_has_few_views(
        rate: float, dim: int, rows: int, monkeypatch: pytest.MonkeyPatch):
    kept = []
    monkeypatch.setattr(recording, "tidy", lambda graph: (tidy(graph), kept.append(graph)))
    module = CMGI(dim, dropout=rate)
    for _ in range(2):
        module(Streams(*(torch.randn(1, rows, dim) for _ in range(3))))
    kinds = Counter(str(node.target) for node in kept[0].nodes)
    assert len(kept) == 1, "a recording that is tidied differs from its call"
    assert kinds["aten.bmm.default"] == 7
    assert kinds["aten.view.default"] + kinds["aten._unsafe_view.default"] < 30


def test_a_bad_number_in_evaluation_is_handed_on():
    module, streams = made().eval(), given()
    streams.audio.data[0, 0, 0] = torch.nan
    with torch.no_grad():
        for _ in range(4):
            assert module(streams).audio[0].isnan().any()


# --- What may go wrong ------------------------------------------------------------------------------


def test_weights_that_are_no_parameters_of_the_subgraphs_own_run_in_turn(in_turn: Callable):
    """As wrappers leave them that shard or copy a model."""
    module, streams = made(), given()
    want = in_turn(module, streams)[0]
    for part in list(module.modules()):
        for key, weight in list(part._parameters.items()):
            if weight is not None:
                del part._parameters[key]
                setattr(part, key, weight.detach())
    for _ in range(3):
        torch.testing.assert_close(module(streams).audio, want)


class Layer(MessagePassing):
    """A layer of a user's own, with something in the middle."""

    def __init__(self, dim: int, middle: Callable[[Tensor], Tensor]) -> None:
        super().__init__(aggr="add")
        self.lin, self.middle = nn.Linear(dim, dim), middle

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:
        # propagate_type: (x: Tensor, edge_weight: Tensor)
        return self.propagate(edge_index, x=self.middle(self.lin(x)), edge_weight=edge_weight)

    def message(self, x_j: Tensor, edge_weight: Tensor) -> Tensor:
        return edge_weight[:, None] * x_j


def scaled_without_gradient(rows: Tensor) -> Tensor:
    with torch.no_grad():
        length = rows.norm(dim=-1, keepdim=True)
    return rows / (1 + length)


class StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor) -> Tensor:
        return rows.sign()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient


@pytest.mark.parametrize("middle", [scaled_without_gradient, StraightThrough.apply], ids=["no_grad", "Function"])
def test_a_layer_whose_gradient_a_recording_would_lose_is_not_recorded(
        middle: Callable, monkeypatch: pytest.MonkeyPatch, in_turn: Callable):
    monkeypatch.setitem(CONVS, "own", convs.ConvRow(lambda dim: Layer(dim, middle), convs.EDGE_WEIGHT))
    module, streams = made(conv="own"), given()
    want = in_turn(module, streams)
    for _ in range(4):
        agree(outcome(module, streams), want)
    assert list(module._together.recorded.values()) == [None]


def test_threads_may_call_one_model():
    module, streams = made(), given()
    want = module(streams).audio
    wrong: list[object] = []

    def work() -> None:
        with torch.inference_mode():
            for _ in range(15):
                try:
                    if not torch.allclose(module(streams).audio, want):
                        wrong.append("another answer")
                except Exception as error:
                    wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and module._mergeable


def test_a_hook_of_pyg_is_called_for_every_subgraph():
    module, streams, called = made(), given(), []
    for subgraph in module.subgraphs.values():
        subgraph.layers[0].propagation.conv.register_propagate_forward_hook(lambda *_: called.append(1))
    for _ in range(3):
        module(streams)
    assert len(called) == 9


def test_a_batch_that_cannot_be_multiplied_says_so_and_turns_nothing_off():
    for warmed in (False, True):
        module, wrong = made(), Streams(*(torch.randn(B, T, D + 1, dtype=torch.float64) for _ in range(3)))
        for _ in range(3 * warmed):
            module(given())
        with warnings.catch_warnings(record=True) as told, pytest.raises(RuntimeError, match=r"mat1 and mat2|size"):
            module(wrong)
        assert not told
        assert module._mergeable


def looked_at(rows: Tensor) -> Tensor:
    """Reads a number of what came, which vmap cannot do; and draws before it does."""
    rows = nn.functional.dropout(rows, 0.5)
    return rows * (2.0 if float(rows.detach().sum()) > 0 else 1.0)


def test_a_layer_that_vmap_cannot_run_is_told_once_and_runs_in_turn(monkeypatch: pytest.MonkeyPatch, in_turn: Callable):
    monkeypatch.setitem(CONVS, "looks", convs.ConvRow(lambda dim: Layer(dim, looked_at), convs.EDGE_WEIGHT))
    module, streams = made(conv="looks"), given()

    def seeded(run: Callable[[CMGI, Streams], list[Tensor]]) -> list[Tensor]:
        torch.manual_seed(0)
        return run(module, streams)

    with pytest.warns(UserWarning, match=r"conv=looks does not run under torch\.func\.vmap"):
        found = seeded(outcome)
    agree(found, seeded(in_turn))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        agree(seeded(outcome), found)
