"""Labels that nobody trained: scored by the encoders' text, in the seconds that the trained relevance chooses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from avsgn_pyg.config import ConfigError
from avsgn_pyg.data.feature_store import LabelText
from avsgn_pyg.data.h5 import DataError
from avsgn_pyg.features.encoder import label_text
from avsgn_pyg.localization import Localization
from avsgn_pyg.model.open_vocabulary import Temperatures, label_scores
from avsgn_pyg.predictor import Predictor
from avsgn_pyg.predictor.vocabulary import Vocabulary

LABELS = ("whistle", "bell", "thunder", "a cat")
ALL_WAY = {"model": {"head": {"segment_scores": True}}, "objective": {"losses": ("segment",)}}


def made(labels=LABELS, **settings) -> Vocabulary:
    rows = F.normalize(torch.randn(2, len(labels), 16), dim=-1)
    return Vocabulary(labels, LabelText(*rows), **settings)


def test_relevance_is_the_trained_one_and_classes_are_the_labels(checkpoint) -> None:
    audio, visual, folder = torch.randn(10, 16), torch.randn(10, 16), checkpoint()
    trained = Predictor.from_checkpoint(folder, device="cpu").localize(audio, visual)
    words = made(temperatures=Temperatures(0.2, 0.1))
    found = Predictor.from_checkpoint(folder, device="cpu", labels=words).localize(audio, visual)
    assert torch.equal(found.relevance, trained.relevance) and found.categories == LABELS
    assert set(found.gates) == set(trained.gates) and found.tau == trained.tau
    weight = found.relevance / found.relevance.sum()
    heard, seen = (F.normalize(weight @ rows, dim=-1) for rows in (audio, visual))
    wanted = (heard @ words.text.audio.T / 0.2 + seen @ words.text.visual.T / 0.1).softmax(-1)
    torch.testing.assert_close(found.category[0], wanted, atol=1e-5, rtol=1e-4)
    there = found.labels != len(LABELS)
    assert torch.equal(there, trained.labels != 3) and (found.labels[there] == wanted.argmax()).all()


def test_long_videos_name_every_window_by_itself(checkpoint) -> None:
    words = made(temperatures=Temperatures(0.02, 0.02))
    audio = torch.cat([words.text.audio[:1].expand(20, -1), words.text.audio[1:2].expand(20, -1)])
    visual = torch.cat([words.text.visual[:1].expand(20, -1), words.text.visual[1:2].expand(20, -1)])
    found = Predictor.from_checkpoint(checkpoint(), device="cpu", labels=words).localize(audio, visual, tau=0.0)
    assert found.labels[:10].tolist() == [0] * 10 and found.labels[-10:].tolist() == [1] * 10


def test_what_fills_a_short_video_up_names_nothing(checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    words = made(temperatures=Temperatures(0.2, 0.1))
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu", labels=words)
    monkeypatch.setattr(predictor, "answer", lambda *_: Localization(torch.zeros(1, 3), torch.zeros(1, 10)))
    audio, visual = words.text.audio[:2], words.text.visual[:2]
    found = predictor.localize(audio, visual)
    torch.testing.assert_close(found.category[:, 0], found.category[:, 1])
    alone = label_scores(audio[None], visual[None], found.relevance[None], audio_text=words.text.audio,
                         visual_text=words.text.visual, temperatures=words.temperatures)
    torch.testing.assert_close(found.category, alone.softmax(-1).expand(2, -1), atol=1e-5, rtol=1e-4)


def test_a_clip_is_named_by_the_encoders_text_in_the_trained_prompts(checkpoint, clip) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(), device="cpu", labels=list(LABELS))
    found = predictor(clip(3))
    assert found.categories == LABELS and found.category.shape == (3, 4)
    prompts = {"visual": "This photo contains the {}", "audio": "This sound contains the {}"}
    encoders = predictor.encoders
    text = label_text(encoders.visual, encoders.audio, LABELS, prompts)
    assert torch.equal(predictor.vocabulary.text.audio, text.audio)
    assert torch.equal(predictor.vocabulary.text.visual, text.visual)
    assert json.dumps(found.as_dict()) and "thunder" in json.dumps(found.as_dict())


def test_a_model_of_all_way_scores_is_cut_by_tau_where_labels_are_given(checkpoint) -> None:
    audio, visual, folder = torch.randn(10, 16), torch.randn(10, 16), checkpoint(**ALL_WAY)
    trained = Predictor.from_checkpoint(folder, device="cpu").localize(audio, visual)
    found = Predictor.from_checkpoint(folder, device="cpu", labels=made()).localize(audio, visual, tau=0.5)
    torch.testing.assert_close(found.relevance, trained.relevance, atol=1e-5, rtol=1e-5)
    assert found.tau == 0.5


def test_labels_come_from_a_file_too(checkpoint, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("whistle\n\n a cat \n")
    folder = checkpoint()
    for path in (tmp_path / "names.txt", str(tmp_path / "names.txt")):
        assert Predictor.from_checkpoint(folder, device="cpu", labels=path).categories == ("whistle", "a cat")
    with pytest.raises(DataError, match="cannot be read as text"):
        Predictor.from_checkpoint(checkpoint("other"), device="cpu", labels=tmp_path / "absent.txt")


@pytest.mark.parametrize("labels", [["one"], ["a", "a"], ["a", " "], []])
def test_lists_that_name_nothing_are_refused(checkpoint, labels: list[str]) -> None:
    with pytest.raises(ConfigError, match="two labels or more, none empty, each once"):
        Predictor.from_checkpoint(checkpoint(), device="cpu", labels=labels)


def test_text_of_another_number_of_labels_is_refused() -> None:
    with pytest.raises(ConfigError, match="2 labels came with 3 text embeddings"):
        Vocabulary(("a", "b"), LabelText(torch.ones(3, 16), torch.ones(3, 16)))


def test_text_by_itself_is_a_path_and_no_list_of_letters(checkpoint) -> None:
    with pytest.raises(DataError, match="dog: cannot be read as text"):
        Predictor.from_checkpoint(checkpoint(), device="cpu", labels="dog")


def test_text_of_another_width_than_the_features_is_refused(checkpoint) -> None:
    words = Vocabulary(("a", "b"), LabelText(torch.ones(2, 16), torch.ones(2, 12)))
    with pytest.raises(ConfigError, match="labels: visual label text is 12 wide, features are 16"):
        Predictor.from_checkpoint(checkpoint(), device="cpu", labels=words)


@pytest.mark.parametrize("value", [0.0, -0.1, float("nan"), float("inf")])
def test_temperatures_are_positive_numbers(checkpoint, value: float) -> None:
    with pytest.raises(ConfigError, match="positive, finite numbers"):
        Predictor.from_checkpoint(checkpoint(), device="cpu", labels=LABELS, temperatures=Temperatures(value, 0.1))
    with pytest.raises(ConfigError, match="positive, finite numbers"):
        made(temperatures=Temperatures(0.1, value))


@pytest.mark.parametrize("labels", [None, made()])
def test_temperatures_without_labels_of_the_same_call_are_refused(checkpoint, labels: Vocabulary | None) -> None:
    with pytest.raises(ConfigError, match="a Vocabulary brings its own"):
        Predictor.from_checkpoint(checkpoint(), device="cpu", labels=labels, temperatures=Temperatures(0.1, 0.1))


def test_a_parser_is_no_predictor(checkpoint) -> None:
    folder = checkpoint()
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(text.replace("kind: ave", "kind: llp"))
    with pytest.raises(ConfigError, match="tools/train_parsing"):
        Predictor.from_checkpoint(folder, device="cpu")
