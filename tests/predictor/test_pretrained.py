"""What is passed on answers as what was trained, says what it is, and holds nothing of the machine."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open

from avsgn_pyg.engine.checkpoint import CheckpointError, load_checkpoint
from avsgn_pyg.features.encoder import EncoderError
from avsgn_pyg.predictor import Predictor, pretrained

SCORES = {"segment_accuracy": 81.5, "class_accuracy": 90.0, "background_f1": 40.0, "relevance_auc": None, "videos": 9}


@pytest.fixture
def features() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(23, 16), torch.randn(23, 16)


@pytest.fixture
def evaluated(run: Path) -> Path:
    """The run with an evaluation of its checkpoint, and one of another."""
    trained = load_checkpoint(run / "checkpoints" / "epoch-0001").meta.model_dump(mode="json")
    kept = {"dataset": "Made Scenes", "synthetic": False, "split": "test", "tau": 0.5, "marks": ["tau from test"]}
    for split, epoch in (("test", 1), ("val", 9)):
        folder = run / f"evaluation-{split}"
        folder.mkdir()
        values = {**kept, "split": split, "trained": {**trained, "epoch": epoch}, "scores": SCORES}
        (folder / "metrics.json").write_text(json.dumps(values))
    return run


def test_predictions_are_equal_after_a_round_trip(run: Path, tmp_path: Path, features, clip) -> None:
    first = Predictor.from_checkpoint(run, device="cpu")
    second = Predictor.from_pretrained(first.save_pretrained(tmp_path / "saved"), device="cpu")
    one, other = first.localize(*features), second.localize(*features)
    assert torch.equal(one.relevance, other.relevance) and torch.equal(one.category, other.category)
    assert torch.equal(first(clip(3)).relevance, second(clip(3)).relevance)
    assert second.encoders.checked and second.categories == first.categories


def test_a_saved_folder_can_be_saved_again_and_opened_as_a_checkpoint(evaluated: Path, tmp_path: Path) -> None:
    first = Predictor.from_checkpoint(evaluated, device="cpu").save_pretrained(tmp_path / "a", license="mit")
    second = Predictor.from_checkpoint(first, device="cpu").save_pretrained(tmp_path / "b", license="mit")
    for name in ("config.json", "README.md", "model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_the_folder_holds_weights_config_and_card_and_nothing_else(run: Path, tmp_path: Path) -> None:
    folder = Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    with safe_open(folder / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_the_card_is_one_that_the_hub_reads(evaluated: Path, tmp_path: Path) -> None:
    folder = Predictor.from_checkpoint(evaluated, device="cpu").save_pretrained(tmp_path / "saved", license="cc-by-4.0")
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "avsgn_pyg"
    assert {(r.metric_type, r.metric_value, r.dataset_type, r.dataset_split) for r in card.data.eval_results} == {
        ("segment_accuracy", 81.5, "made-scenes", "test"), ("class_accuracy", 90.0, "made-scenes", "test"),
        ("background_f1", 40.0, "made-scenes", "test")}
    assert "| Made Scenes, test | 81.50 | 90.00 | 40.00 | - | tau from test |" in card.text
    assert "- visual: `signal`" in card.text and "bell, dog, rain & wind" in card.text


def test_without_license_and_scores_the_card_says_so(checkpoint, tmp_path: Path) -> None:
    predictor = Predictor.from_checkpoint(checkpoint(features={}), device="cpu")
    card = ModelCard.load(predictor.save_pretrained(tmp_path / "saved") / "README.md")
    assert card.data.license == "unknown" and card.data.eval_results is None
    assert "None were recorded" in card.text and "- audio: not recorded" in card.text
    assert "Nobody named one" in card.text


def test_a_model_of_made_up_features_is_marked(checkpoint, tmp_path: Path) -> None:
    found = load_checkpoint(checkpoint())
    made = replace(found, meta=found.meta.model_copy(update={"synthetic": True}))
    folder = Predictor(made, device="cpu").save_pretrained(tmp_path / "saved")
    assert "of no use on real videos" in (folder / "README.md").read_text()


def test_nothing_of_the_machine_is_passed_on(checkpoint, provenance, tmp_path: Path) -> None:
    said = provenance()
    said["visual"]["options"]["weights"] = "/home/somebody/weights/tower.pt"
    folder = checkpoint(features=said, data={"annotations": "a"}, run_dir="/home/somebody/runs")
    saved = Predictor.from_checkpoint(folder, device="cpu").save_pretrained(tmp_path / "saved")
    for name in ("config.json", "README.md"):
        assert "somebody" not in (saved / name).read_text() and str(tmp_path) not in (saved / name).read_text()
    assert '"weights": "tower.pt"' in (saved / "config.json").read_text()


def test_no_path_in_settings_or_options_is_passed_on(checkpoint, provenance, tmp_path: Path) -> None:
    said = provenance()
    said["audio"]["options"] |= {"weights": "../somebody/clap.pt", "tokenizer": "C:\\somebody\\words", "model": "a/b"}
    settings = {"root": "/home/somebody/ave", "features": "/home/somebody/ave/features.h5", "name": "AVE/clean",
                "annotations": "somebody/rows.txt", "audio_labels": "~/somebody/text.npy"}
    run = Predictor.from_checkpoint(checkpoint(features=said, data_settings=settings), device="cpu")
    saved = run.save_pretrained(tmp_path / "saved")
    assert not [path for path in saved.iterdir() if b"somebody" in path.read_bytes()]
    values = json.loads((saved / "config.json").read_text())
    data, options = values["config"]["data"], values["meta"]["provenance"]["features"]["audio"]["options"]
    assert (data["features"], data["annotations"], data["audio_labels"]) == ("features.h5", "rows.txt", "text.npy")
    assert data["name"] == "AVE/clean" and data["root"] is None
    assert (options["weights"], options["tokenizer"], options["model"]) == ("clap.pt", "words", "a/b")


def test_a_mismatch_is_refused_after_the_round_trip_too(run: Path, tmp_path: Path, clip) -> None:
    folder = Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "saved")
    values = json.loads((folder / "config.json").read_text())
    values["meta"]["provenance"]["features"]["audio"]["revision"] = "f" * 64
    values["meta"]["provenance"]["features"]["label_text"] = {}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(EncoderError, match="audio encoder 'signal' has revision"):
        Predictor.from_pretrained(folder, device="cpu")(clip(3))


def test_a_folder_that_holds_something_is_left_alone(run: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="holds something already"):
        Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_a_full_disk_leaves_nothing_half_written(run: Path, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pretrained, "_write", full)
    with pytest.raises(CheckpointError, match="cannot be written \\(No space left"):
        Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "new" / "saved")
    assert not list((tmp_path / "new").iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"library_name": "transformers"}, "not a model of avsgn_pyg"),
        ({"format": 99}, "format 99, this version reads format 2; another version"),
        ({"meta": {"format": 2}}, "categories: Field required"),
        ({"config": {"model": {"surprise": 1}}}, "surprise"),
    ],
)
def test_a_config_that_cannot_be_used_is_named(run: Path, tmp_path: Path, change: dict, says: str) -> None:
    folder = Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "saved")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError, match=says):
        Predictor.from_pretrained(folder)


def test_damaged_weights_are_named(run: Path, tmp_path: Path) -> None:
    folder = Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "saved")
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: cannot be read"):
        Predictor.from_pretrained(folder)


def test_a_missing_folder_is_told_without_asking_the_hub(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    for where in (tmp_path / "absent", "not a repository", "/absolutely/not/there"):
        with pytest.raises(CheckpointError, match="no such folder"):
            Predictor.from_pretrained(where)
    with pytest.raises(CheckpointError, match="has no revision 'main'"):
        Predictor.from_pretrained(tmp_path, revision="main")


def test_of_a_repository_two_files_are_fetched(run: Path, tmp_path: Path, monkeypatch, features) -> None:
    folder, asked = Predictor.from_checkpoint(run, device="cpu").save_pretrained(tmp_path / "cache"), {}

    def download(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert len(Predictor.from_pretrained("someone/avsgn", revision="v1", device="cpu").localize(*features)) == 23
    assert asked == {
        "repository": "someone/avsgn", "revision": "v1", "allow_patterns": ["config.json", "model.safetensors"]}


def test_a_repository_that_cannot_be_had_is_one_sentence(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="someone/absent: no such folder here, and the hub"):
        Predictor.from_pretrained("someone/absent")


def test_pushing_uploads_what_saving_writes(run: Path, monkeypatch) -> None:
    seen: dict[str, object] = {}

    class Hub:
        def __init__(self, token: str | None) -> None:
            seen["token"] = token

        def create_repo(self, repo_id: str, **options: object) -> object:
            seen.update(options)
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            seen.update(repo_id=repo_id, files=sorted(path.name for path in folder_path.iterdir()))

    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    Predictor.from_checkpoint(run, device="cpu").push_to_hub("someone/avsgn", license="mit", private=True, token="t")
    assert seen == {"token": "t", "private": True, "exist_ok": True, "repo_id": "someone/avsgn",
                    "files": ["README.md", "config.json", "model.safetensors"]}
