"""A saved model predicts as the trained one, describes itself, and holds no path of the machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from huggingface_hub import ModelCard

from avsgn_pyg.common.errors import CheckpointError
from avsgn_pyg.engine.checkpoint import load_checkpoint
from avsgn_pyg.predictor import Predictor, hub

FILES = ["README.md", "config.json", "model.safetensors"]
SCORES = {"segment_accuracy": 81.5, "class_accuracy": 90.0, "background_f1": 40.0, "relevance_auc": None, "videos": 9}


@pytest.fixture
def saved(predictor, tmp_path: Path) -> Path:
    return predictor.save_pretrained(tmp_path / "saved")


@pytest.fixture
def evaluated(run: Path) -> Path:
    """The run with an evaluation of its checkpoint, and one of another."""
    trained = load_checkpoint(run / "checkpoints" / "epoch-0001").meta.model_dump(mode="json")
    kept = {"dataset": "Made Scenes", "synthetic": False, "split": "test", "tau": 0.5, "marks": ["tau from test"]}
    for name, split, epoch, settings in (("test", "test", 1, []), ("val", "val", 9, []),
                                         ("test-tau=0.4", "test", 1, ["tau=0.4"])):
        (run / f"evaluation-{name}").mkdir()
        values = {**kept, "split": split, "settings": settings, "trained": {**trained, "epoch": epoch}}
        (run / f"evaluation-{name}" / "metrics.json").write_text(json.dumps(values | {"scores": SCORES}))
    return run


def test_predictions_are_equal_after_a_round_trip(predictor, saved: Path, clip) -> None:
    loaded = Predictor.from_pretrained(saved, device="cpu")
    one, other = loaded(clip(3)), predictor(clip(3))
    assert torch.equal(one.relevance, other.relevance) and torch.equal(one.category, other.category)
    assert loaded.encoders.checked and loaded.categories == predictor.categories
    again = loaded.save_pretrained(saved.with_name("again"))
    assert all((saved / name).read_bytes() == (again / name).read_bytes() for name in FILES)
    assert sorted(path.name for path in saved.iterdir()) == FILES


def test_the_card_has_license_scores_classes_and_encoders(evaluated: Path, tmp_path: Path) -> None:
    folder = Predictor.from_checkpoint(evaluated, device="cpu").save_pretrained(tmp_path / "saved", license="cc-by-4.0")
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "avsgn_pyg"
    assert {(r.metric_type, r.metric_value, r.dataset_type, r.dataset_split) for r in card.data.eval_results} == {
        ("segment_accuracy", 81.5, "made-scenes", "test"), ("class_accuracy", 90.0, "made-scenes", "test"),
        ("background_f1", 40.0, "made-scenes", "test")}
    assert "| Made Scenes, test | 81.50 | 90.00 | 40.00 | - | tau from test |" in card.text
    assert "| Made Scenes, test, tau=0.4 | 81.50 |" in card.text and len(card.data.eval_results) == 3
    assert "- visual: `signal`" in card.text and "bell, dog, rain & wind" in card.text


@pytest.mark.slow
def test_an_ensemble_is_saved_with_all_its_models_and_its_own_scores(seeds: Path, clip, tmp_path: Path) -> None:
    metas = [load_checkpoint(path).meta.model_dump(mode="json") for path in sorted(seeds.glob("*/checkpoints/epoch-*"))]
    (seeds / "evaluation-test-seeds=0+2").mkdir()
    values = {"dataset": "Made", "synthetic": False, "split": "test", "settings": ["seeds=0+2"], "tau": 0.5,
              "marks": [], "ensemble": metas, "scores": SCORES}
    (seeds / "evaluation-test-seeds=0+2" / "metrics.json").write_text(json.dumps(values))
    predictor = Predictor.from_checkpoint(seeds, device="cpu")
    folder = predictor.save_pretrained(tmp_path / "saved")
    loaded = Predictor.from_pretrained(folder, device="cpu")
    one, other = loaded(clip(3)), predictor(clip(3))
    assert torch.equal(one.relevance, other.relevance) and torch.equal(one.category, other.category)
    assert [each.meta.seed for each in loaded.checkpoints] == [0, 2] and loaded.identity() == predictor.identity()
    again = loaded.save_pretrained(tmp_path / "again")
    assert all((folder / name).read_bytes() == (again / name).read_bytes() for name in FILES)
    card = ModelCard.load(folder / "README.md")
    assert "2 models" in card.text and "seeds 0, 2, epochs 1, 3" in card.text and "| Made, test | 81.50 |" in card.text
    assert len(card.data.eval_results) == 3
    with pytest.raises(CheckpointError, match="leave seeds out"):
        Predictor.from_pretrained(folder, seeds=1)


def test_the_card_says_what_is_not_known(checkpoint, tmp_path: Path) -> None:
    found = load_checkpoint(checkpoint(features={"audio": "a.h5", "visual": "v.h5"}))
    synthetic = replace(found, meta=found.meta.model_copy(update={"synthetic": True}))
    card = ModelCard.load(Predictor(synthetic, device="cpu").save_pretrained(tmp_path / "saved") / "README.md")
    assert card.data.license == "unknown" and card.data.eval_results is None
    assert "None were recorded" in card.text and "- audio: not recorded" in card.text
    assert "No license" in card.text and "synthetic features" in card.text


def test_no_path_of_the_machine_is_saved(checkpoint, provenance, tmp_path: Path) -> None:
    record = provenance()
    record["audio"]["options"] |= {"weights": "../somebody/clap.pt", "tokenizer": "C:\\somebody\\words", "model": "a/b"}
    settings = {"root": "/home/somebody/ave", "features": "/home/somebody/ave/features.h5", "name": "AVE/clean",
                "annotations": "somebody/rows.txt", "audio_labels": "~/somebody/text.npy"}
    folder = checkpoint(features=record, data=settings, run_dir="/home/somebody/runs")
    saved = Predictor.from_checkpoint(folder, device="cpu").save_pretrained(tmp_path / "saved")
    content = {path: path.read_bytes() for path in saved.iterdir()}
    assert not [path for path, text in content.items() if b"somebody" in text or str(tmp_path).encode() in text]
    values = json.loads(content[saved / "config.json"])
    data, options = values["config"]["data"], values["meta"]["provenance"]["features"]["audio"]["options"]
    assert (data["features"], data["annotations"], data["audio_labels"]) == ("features.h5", "rows.txt", "text.npy")
    assert data["name"] == "AVE/clean" and data["root"] is None
    assert (options["weights"], options["tokenizer"], options["model"]) == ("clap.pt", "words", "a/b")


def test_a_folder_that_is_not_empty_is_left_alone(predictor, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="not empty"):
        predictor.save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    ("name", "change", "word"),
    [
        ("config.json", {"library_name": "transformers"}, "not a model of avsgn_pyg"),
        ("config.json", {"format": 99}, "format 99"),
        ("config.json", {"config": {"model": {"surprise": 1}}}, "surprise"),
        ("config.json", None, "cannot be read"),
        ("model.safetensors", None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(saved: Path, name: str, change: dict | None, word: str) -> None:
    path = saved / name
    path.write_text("cut short" if change is None else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=f"{name}: .*{word}"):
        Predictor.from_pretrained(saved)


def test_what_is_no_repository_is_not_looked_for_on_the_hub(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(hub, "download", lambda *_: pytest.fail("asked the hub"))
    for where in (tmp_path / "absent", "not a repository", "/absolutely/not/there"):
        with pytest.raises(CheckpointError, match="no such folder"):
            Predictor.from_pretrained(where)
    with pytest.raises(CheckpointError, match="no revision 'main'"):
        Predictor.from_pretrained(tmp_path, revision="main")


def test_config_and_weights_of_a_repository_are_downloaded(saved: Path, monkeypatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}

    def snapshot(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(saved)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="someone/avsgn: no such folder here, and the hub"):
        Predictor.from_pretrained("someone/avsgn")
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(saved / "config.json"))
    monkeypatch.setattr(hub, "snapshot_download", snapshot)
    assert Predictor.from_pretrained("someone/avsgn", revision="v1", device="cpu").checkpoint.path == saved
    assert asked["repository"] == "someone/avsgn" and asked["revision"] == "v1"
    assert asked["allow_patterns"] == ["config.json", "model.safetensors"]


def test_the_saved_files_are_pushed(predictor, monkeypatch) -> None:
    seen: dict[str, object] = {}

    class Api:
        def __init__(self, token: str | None) -> None:
            seen["token"] = token

        def create_repo(self, repo_id: str, **options: object) -> object:
            seen.update(options)
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, *, repo_id: str, folder_path: Path, **_: object) -> object:
            seen.update(repo_id=repo_id, files=sorted(path.name for path in folder_path.iterdir()))
            return SimpleNamespace(repo_url="https://huggingface.co/someone/avsgn")

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    address = predictor.push_to_hub("someone/avsgn", license="mit", private=True, token="t")
    assert address == "https://huggingface.co/someone/avsgn"
    assert seen == {"token": "t", "private": True, "exist_ok": True, "repo_id": "someone/avsgn", "files": FILES}
