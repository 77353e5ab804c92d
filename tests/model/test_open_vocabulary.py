"""Label text as the classifier: nothing belongs to a class, so labels can be permuted, added and replaced."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.common.config import load_config
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.engine.zoo import Shape, build_model
from avsgn_pyg.graph.build import build_batch
from avsgn_pyg.graph.training_free import Calibration, similarity
from avsgn_pyg.model.open_vocabulary import LabelEvidence, OpenAVSGN

B, T, C, WIDTH = 3, 5, 4, 12
CONFIG = load_config(None, ["model.head.classifier=text", "model.text.slots=per_class", "model.dim=8"])


@pytest.fixture
def text() -> LabelText:
    return LabelText(torch.randn(C, WIDTH), torch.randn(C, WIDTH + 1))


@pytest.fixture
def model(text: LabelText) -> OpenAVSGN:
    """An untrained model whose learned maps are not zero."""
    config = CONFIG.model.model_copy(update={"width": 8})
    made = build_model(config, Shape(WIDTH, WIDTH + 1, T, C), text).eval()
    for evidence in (made.head.heard, made.head.seen):
        torch.nn.init.normal_(evidence.map.weight)
    return made


def videos(text_nodes: int = 2 * C, lengths: torch.Tensor | None = None, rows: int = B * T) -> object:
    torch.manual_seed(1)
    audio, visual = torch.randn(rows, WIDTH), torch.randn(rows, WIDTH + 1)
    return build_batch(audio, visual, text_nodes=text_nodes, category=torch.zeros(B, dtype=torch.long),
                       relevance=torch.zeros(B, T), row=torch.arange(B),
                       lengths=torch.full((B,), T) if lengths is None else lengths)


def test_permuted_labels_have_permuted_scores_and_the_same_relevance(model: OpenAVSGN, text: LabelText):
    order = torch.tensor([2, 0, 3, 1])
    one = model(videos())
    two = model.with_labels(text.audio[order], text.visual[order])(videos())
    torch.testing.assert_close(two.category, one.category[:, order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(two.gate_category, one.gate_category[:, order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(two.relevance, one.relevance, atol=1e-4, rtol=1e-4)


def test_other_labels_share_the_weights_and_leave_the_model_as_it_was(model: OpenAVSGN):
    before = model(videos()).category
    other = model.with_labels(torch.randn(7, WIDTH), torch.randn(7, WIDTH + 1))
    assert other(videos(14)).category.shape == (B, 7)
    assert [*map(id, other.parameters())] == [*map(id, model.parameters())]
    assert torch.equal(model(videos()).category, before)
    with pytest.raises(ValueError, match="14 text rows"):
        other(videos())


def test_the_number_of_parameters_does_not_depend_on_the_labels():
    def count(classes: int) -> int:
        text = LabelText(torch.randn(classes, WIDTH), torch.randn(classes, WIDTH))
        made = build_model(CONFIG.model, Shape(WIDTH, WIDTH, T, classes), text)
        return sum(parameter.numel() for parameter in made.parameters())

    assert count(3) == count(30)


def test_before_training_evidence_is_the_calibrated_probability_of_the_training_free_rule():
    evidence, labels, rows, seconds = LabelEvidence(WIDTH, 0.3), *(torch.randn(n, WIDTH) for n in (C, B * T, 900))
    evidence.calibrate(seconds)
    cosines = [similarity(each[None], each[None], labels, labels).audio for each in (evidence.anchors, rows)]
    expected = Calibration.of(cosines[0])(cosines[1])
    found = evidence(rows.view(B, T, WIDTH), labels)
    torch.testing.assert_close(found.exp() / C, expected.view(B, T, C), atol=1e-5, rtol=1e-4)


def test_anchors_are_spread_over_all_seconds():
    evidence, seconds = LabelEvidence(2, 0.0), torch.stack((torch.ones(5000), torch.arange(5000.0)), 1)
    evidence.calibrate(seconds)
    places = evidence.anchors[:, 1] / evidence.anchors[:, 0]
    assert places.min() == 0 and places.max() == pytest.approx(4999, rel=1e-3) and len(places.unique()) > 500


def test_a_label_that_all_anchors_resemble_needs_more_to_be_probable():
    evidence = LabelEvidence(3, 0.0)
    evidence.calibrate(F.normalize(torch.tensor([[1.0, 0.3, 0.0], [1.0, 0.0, 0.3]]), dim=-1).repeat(500, 1))
    found = evidence(torch.tensor([[[1.0, 0.9, 0.0]]]), torch.eye(3))
    assert found[0, 0].argmax() == 1 and found.exp().mean(-1).item() == pytest.approx(1, abs=1e-5)
    assert found.max() <= math.log(3)


def test_padding_does_not_count(model: OpenAVSGN):
    lengths = torch.tensor([2, 5, 3])
    together = videos(lengths=lengths, rows=10)
    found = model(together)
    for number, seconds in enumerate(lengths.tolist()):
        alone = model(together.get_example(number))
        torch.testing.assert_close(found.category[number], alone.category[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.relevance[number, :seconds], alone.relevance[0], atol=1e-4, rtol=1e-4)


def test_class_and_relevance_have_gradients_in_graph_and_maps(model: OpenAVSGN):
    for name in ("category", "relevance"):
        model.zero_grad()
        getattr(model(videos()), name).square().sum().backward()
        for part in (model.head.heard.map, model.head.seen.map, model.cmgi.layers, model.cmsa):
            assert any(p.grad is not None and p.grad.any() for p in part.parameters()), (name, part)
