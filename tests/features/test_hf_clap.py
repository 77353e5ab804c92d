"""A small CLAP of transformers with random weights, saved as its repositories are; the network is never used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features.encoder import AudioEncoder, EncoderChoice, encoder_from_record, make_audio_encoder
from avsgn_pyg.features.hf_clap import HfClapEncoder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_network")]


def save(folder: Path, save_tokenizer: Callable[[Path], int], *, fused: bool = False) -> Any:
    """Save model, feature extractor and tokenizer, and return the model."""
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    words = save_tokenizer(folder)
    ClapFeatureExtractor(truncation="fusion" if fused else "rand_trunc").save_pretrained(folder)
    torch.manual_seed(3)
    model = ClapModel(ClapConfig(
        text_config={"vocab_size": words, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                     "intermediate_size": 16, "projection_dim": 12},
        audio_config={"patch_embeds_hidden_size": 8, "hidden_size": 16, "depths": [1, 1],
                      "num_attention_heads": [1, 1], "window_size": 8, "projection_dim": 12, "enable_fusion": fused},
        projection_dim=12,
    )).eval()
    model.save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hf") / "clap-tiny"


@pytest.fixture(scope="module")
def model(folder: Path, save_tokenizer: Callable[[Path], int]) -> Any:
    return save(folder, save_tokenizer)


@pytest.fixture(scope="module")
def encoder(model: Any, folder: Path) -> HfClapEncoder:
    return HfClapEncoder(weights=str(folder), batch_size=2)


def noise(videos: int, seconds: int) -> Tensor:
    """Noise of another colour each second, [V, S, 48000]."""
    draw = torch.Generator().manual_seed(4)
    steps = torch.randn(videos, seconds, 48_000, generator=draw)
    return 0.1 * steps.cumsum(-1).div(torch.arange(1.0, seconds + 1)[:, None] * 40).sin()


def test_seconds_and_texts_are_embedded_as_transformers_does(encoder: HfClapEncoder, model: Any, folder: Path):
    from transformers import AutoTokenizer, ClapFeatureExtractor

    sounds, texts = noise(1, 3), ["Church bell", "Bark"]
    inputs = ClapFeatureExtractor.from_pretrained(folder)(list(sounds[0].numpy()), sampling_rate=48_000,
                                                          return_tensors="pt")
    words = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        heard = model.get_audio_features(**inputs).pooler_output
        read = model.get_text_features(words["input_ids"], words["attention_mask"]).pooler_output
    assert torch.allclose(encoder.encode_audio(sounds)[0], heard, atol=1e-5)
    assert torch.allclose(encoder.encode_text(texts), read, atol=1e-5) and torch.pdist(read).min() > 1e-3
    assert torch.pdist(heard).min() > 1e-3
    assert isinstance(encoder, AudioEncoder) and encoder.width == 12
    assert encoder.encode_audio(sounds[:0]).shape == (0, 3, 12) and encoder.encode_text([]).shape == (0, 12)


def test_one_pass_gives_each_second_its_share(model: Any, encoder: HfClapEncoder, folder: Path):
    whole = HfClapEncoder(weights=str(folder), audio_pass="video")
    sounds = 0.1 * noise(1, 12)
    found = whole.encode_audio(sounds)
    assert found.shape == (1, 12, 12) and torch.allclose(found[:, 2:], whole.encode_audio(sounds[:, 2:]), atol=1e-5)
    assert not whole.each_second_alone and encoder.each_second_alone and whole.revision != encoder.revision


def test_a_fused_model_treats_no_second_as_longer_than_ten(
    tmp_path: Path, save_tokenizer: Callable[[Path], int]
):
    """The feature extractor of transformers marks one at random."""
    from transformers import ClapFeatureExtractor

    fused, sounds = save(tmp_path / "fused", save_tokenizer, fused=True), noise(1, 1)
    inputs = ClapFeatureExtractor(truncation="fusion")(list(sounds[0].numpy()), sampling_rate=48_000,
                                                       return_tensors="pt")["input_features"]
    with torch.inference_mode():
        marked, expected = (fused.get_audio_features(inputs, torch.tensor([[longer]])).pooler_output
                            for longer in (True, False))
    found = HfClapEncoder(weights=str(tmp_path / "fused")).encode_audio(sounds)[0]
    assert torch.allclose(found, expected, atol=1e-5) and not torch.allclose(marked, expected, atol=1e-4)


def test_a_record_rebuilds_it_from_the_folder(
    encoder: HfClapEncoder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    record = json.loads(json.dumps(encoder.record()))
    assert record["files"] == ["weights"] and record["options"]["weights"] == "clap-tiny"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match="weights=FILE"):
        encoder_from_record(record, "audio")
    monkeypatch.chdir(folder.parent)
    assert encoder_from_record(record, "audio", device="cpu").revision == encoder.revision


def test_half_precision_changes_little(encoder: HfClapEncoder, folder: Path):
    sounds = torch.cat([noise(1, 1), torch.zeros(1, 1, 48_000)], 1)
    exact = encoder.encode_audio(sounds)
    rough = HfClapEncoder(weights=str(folder), precision="bf16").encode_audio(sounds)
    assert not torch.equal(exact, rough) and (exact * rough).sum(-1).min() > 0.98


@pytest.mark.parametrize(("options", "message"), [
    ({}, "clap-htsat-unfused are not on this machine.*download=true.*tree/main.*weights=FOLDER"),
    ({"weights": "nowhere/at/all"}, "nowhere/at/all are not on this machine|cannot be loaded"),
    ({"weights": "FOLDER", "width": 512}, "12 wide"),
    ({"weights": "EMPTY"}, "EMPTY cannot be loaded"),
    ({"weights": "PART"}, r"\d+ tensors of ClapModel missing"),
    ({"weights": "POINTER"}, "POINTER cannot be loaded.*all files of a repository"),
    ({"audio_pass": "both"}, "audio_pass='both'"),
])
def test_an_encoder_that_cannot_be_built_raises_one_line(
    model: Any, folder: Path, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    Path("EMPTY").mkdir()
    Path("FOLDER").symlink_to(folder)
    for part in ("PART", "POINTER"):
        Path(part).mkdir()
        (Path(part) / "config.json").write_text((folder / "config.json").read_text())
    Path("POINTER/model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    save_file({"logit_scale_a": torch.ones(())}, "PART/model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=message) as caught:
        make_audio_encoder(EncoderChoice("hf_clap", options), device="cpu")
    assert "\n" not in str(caught.value)
