"""Labels that were not trained: scored by the encoders' text, in the seconds that the trained relevance selects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.common.errors import ConfigError, DataError
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.features.encoder import label_text
from avsgn_pyg.graph.open_vocabulary import Temperatures, label_scores
from avsgn_pyg.predictor import Predictor
from avsgn_pyg.predictor.vocabulary import Vocabulary

LABELS = ("whistle", "bell", "thunder", "a cat")
TEXT = {"model": {"head": {"classifier": "text"}, "text": {"slots": "per_class"}}}
ALL_WAY = {"model": {"head": {"segment_scores": True}}, "objective": {"losses": ("segment",)}}


def vocabulary(labels=LABELS, **settings) -> Vocabulary:
    return Vocabulary(labels, LabelText(*F.normalize(torch.randn(2, len(labels), 16), dim=-1)), **settings)


@pytest.fixture
def load(predictor):
    """A predictor with these labels."""
    return lambda labels, **options: Predictor(predictor.checkpoint, device="cpu", labels=labels, **options)


@pytest.mark.parametrize("seconds", [2, 10])  # shorter than the window, and as long
def test_relevance_is_the_trained_one_and_classes_are_the_labels(predictor, load, seconds: int) -> None:
    audio, visual, words = *torch.randn(2, seconds, 16), vocabulary(temperatures=Temperatures(0.2, 0.1))
    trained, found = predictor.localize(audio, visual), load(words).localize(audio, visual)
    assert torch.equal(found.relevance, trained.relevance) and found.categories == LABELS
    assert set(found.gates) == set(trained.gates) and found.tau == trained.tau
    scores = label_scores(audio[None], visual[None], found.relevance[None], words.text.audio, words.text.visual,
                          words.temperatures).softmax(-1)
    torch.testing.assert_close(found.category, scores.expand(seconds, -1), atol=1e-5, rtol=1e-4)
    has_event = found.labels != len(LABELS)
    assert torch.equal(has_event, trained.labels != 3) and (found.labels[has_event] == scores.argmax()).all()


def test_every_window_of_a_long_video_has_its_own_label(load) -> None:
    words = vocabulary(temperatures=Temperatures(0.02, 0.02))
    audio, visual = (rows[:2].repeat_interleave(20, dim=0) for rows in (words.text.audio, words.text.visual))
    found = load(words).localize(audio, visual, tau=0.0)
    assert found.labels[:10].tolist() == [0] * 10 and found.labels[-10:].tolist() == [1] * 10


def test_labels_of_a_clip_are_encoded_in_the_prompts_of_the_training(load, clip, provenance) -> None:
    predictor = load(list(LABELS))
    found = predictor(clip(3))
    assert found.categories == LABELS and found.category.shape == (3, 4)
    text = label_text(predictor.encoders.visual, predictor.encoders.audio, LABELS, provenance()["prompts"])
    assert torch.equal(predictor.vocabulary.text.audio, text.audio)
    assert torch.equal(predictor.vocabulary.text.visual, text.visual)


def test_a_model_of_all_way_scores_is_decoded_by_tau_with_labels(checkpoint) -> None:
    audio, visual, folder = *torch.randn(2, 10, 16), checkpoint(**ALL_WAY)
    trained = Predictor.from_checkpoint(folder, device="cpu").localize(audio, visual)
    found = Predictor.from_checkpoint(folder, device="cpu", labels=vocabulary()).localize(audio, visual, tau=0.5)
    torch.testing.assert_close(found.relevance, trained.relevance, atol=1e-5, rtol=1e-5)
    assert found.tau == 0.5


@pytest.mark.parametrize("seconds", [3, 10])
def test_labels_are_the_text_nodes_of_a_model_that_classifies_by_text(checkpoint, seconds: int) -> None:
    audio, visual, words = *torch.randn(2, seconds, 16), vocabulary()
    folder = checkpoint(**TEXT)
    predictor = Predictor.from_checkpoint(folder, device="cpu", labels=words)
    found = predictor.localize(audio, visual, tau=0.5)
    batch = predictor.graph(audio[None], visual[None], text_nodes=8)
    expected = predictor.model.with_labels(words.text.audio, words.text.visual)(batch)
    torch.testing.assert_close(found.relevance, expected.relevance[0].sigmoid())
    torch.testing.assert_close(found.category, expected.category.softmax(-1).expand(seconds, -1))
    with pytest.raises(ConfigError, match="calibrates its labels itself"):
        Predictor.from_checkpoint(folder, device="cpu", labels=LABELS, temperatures=Temperatures(0.1, 0.1))


def test_a_path_is_a_file_of_labels(load, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("whistle\n\n a cat \n")
    assert load(str(tmp_path / "names.txt")).categories == ("whistle", "a cat")
    with pytest.raises(DataError, match="dog: no such file of labels"):
        load("dog")


@pytest.mark.parametrize("labels", [["one"], ["a", "a"], ["a", " "]])
def test_fewer_than_two_different_labels_are_refused(load, labels: list[str]) -> None:
    with pytest.raises(ConfigError, match="two or more labels"):
        load(labels)


def test_text_of_another_shape_is_refused(load) -> None:
    with pytest.raises(ConfigError, match=r"2 labels .* 3"):
        Vocabulary(("a", "b"), LabelText(torch.ones(3, 16), torch.ones(3, 16)))
    with pytest.raises(ConfigError, match="visual label text is 12 wide, features are 16"):
        load(Vocabulary(("a", "b"), LabelText(torch.ones(2, 16), torch.ones(2, 12))))


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf")])
def test_temperatures_are_positive_numbers(load, value: float) -> None:
    with pytest.raises(ConfigError, match="positive, finite"):
        load(LABELS, temperatures=Temperatures(value, 0.1))


@pytest.mark.parametrize("labels", [None, vocabulary()])
def test_temperatures_without_a_list_of_labels_are_refused(load, labels: Vocabulary | None) -> None:
    with pytest.raises(ConfigError, match="Vocabulary has its own"):
        load(labels, temperatures=Temperatures(0.1, 0.1))
