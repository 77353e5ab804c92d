"""A real CLIP architecture with random weights, loaded from a checkpoint as a user's weights are; never the network."""

from __future__ import annotations

import json
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from avsgn_pyg.data.feature_store import read_store
from avsgn_pyg.features import clip
from avsgn_pyg.features.clip import DEFAULT_MODEL, DEFAULT_WEIGHTS, ClipEncoder, find_weights
from avsgn_pyg.features.encoder import (
    EncoderChoice,
    EncoderError,
    FrameEncoder,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)
from avsgn_pyg.features.extraction.extract import extract
from avsgn_pyg.features.extraction.jobs import plan_folder

MODEL = "ViT-S-32-alt"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails at once."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def options(clip_weights: Path) -> dict[str, Any]:
    return {"model": MODEL, "weights": str(clip_weights)}


@pytest.fixture(scope="module")
def encoder(options: dict[str, Any]) -> ClipEncoder:
    return make_frame_encoder(EncoderChoice("clip", options), device="cpu", batch_size=4)


@pytest.fixture(scope="module")
def frames() -> Tensor:
    """Six pictures of noise on six colours, [6, 90, 120, 3]."""
    draw = torch.Generator().manual_seed(3)
    colours = torch.randint(40, 216, (6, 1, 1, 3), generator=draw)
    return (colours + torch.randint(-40, 40, (6, 90, 120, 3), generator=draw)).to(torch.uint8)


def test_a_checkpoint_gives_the_embeddings_of_the_model_it_was_saved_from(
    encoder: ClipEncoder, clip_model: torch.nn.Module, frames: Tensor
):
    found = encoder.encode_frames(encoder.prepare(frames))
    with torch.inference_mode():
        expected = F.normalize(clip_model.encode_image(encoder.prepare(frames)), dim=-1)
    assert torch.allclose(found, expected, atol=1e-6)


def test_embeddings_are_float32_distinct_and_of_unit_length(encoder: ClipEncoder, frames: Tensor):
    found = encoder.encode_frames(encoder.prepare(frames))
    assert found.shape == (6, encoder.width) == (6, 256) and found.dtype == torch.float32
    assert torch.allclose(found.norm(dim=-1), torch.ones(6))
    assert torch.pdist(found).min() > 1e-3


def test_it_is_a_frame_encoder(encoder: ClipEncoder):
    assert isinstance(encoder, FrameEncoder)


def test_pictures_are_prepared_as_open_clip_does(encoder: ClipEncoder, frames: Tensor):
    import open_clip
    from PIL import Image

    _, _, transform = open_clip.create_model_and_transforms(MODEL)
    expected = torch.stack([transform(Image.fromarray(frame.numpy())) for frame in frames])
    assert torch.equal(encoder.prepare(frames), expected)


def test_texts_are_embedded_as_open_clip_does(encoder: ClipEncoder, clip_model: torch.nn.Module):
    import open_clip

    texts = [f"This photo contains the {name}" for name in ("dog", "violin", "Frying (food)", "bus", "bell")]
    with torch.inference_mode():
        expected = F.normalize(clip_model.encode_text(open_clip.get_tokenizer(MODEL)(texts)), dim=-1)
    found = encoder.encode_text(texts)
    assert torch.allclose(found, expected, atol=1e-6) and torch.pdist(found).min() > 1e-3


def test_nothing_gives_nothing(encoder: ClipEncoder, frames: Tensor):
    assert encoder.encode_frames(encoder.prepare(frames[:0])).shape == (0, 256)
    assert encoder.encode_text([]).shape == (0, 256)


def test_batches_change_nothing(encoder: ClipEncoder, frames: Tensor, monkeypatch: pytest.MonkeyPatch):
    prepared = encoder.prepare(frames)
    whole = encoder.encode_frames(prepared)
    monkeypatch.setattr(encoder, "batch_size", 1)
    assert torch.allclose(encoder.encode_frames(prepared), whole, atol=1e-5)


def test_bf16_stays_near(encoder: ClipEncoder, frames: Tensor, monkeypatch: pytest.MonkeyPatch):
    prepared = encoder.prepare(frames[:2])
    exact = encoder.encode_frames(prepared)
    monkeypatch.setattr(encoder, "precision", "bf16")
    rough = encoder.encode_frames(prepared)
    assert not torch.equal(rough, exact) and (rough * exact).sum(-1).min() > 0.995


def test_the_preparation_travels_without_the_weights(encoder: ClipEncoder, frames: Tensor):
    encoder.prepare(frames[:1])
    parcel = pickle.dumps(encoder.preparation)
    assert len(parcel) < 2000
    assert torch.equal(pickle.loads(parcel)(frames[:1]), encoder.prepare(frames[:1]))


def test_the_container_does_not_matter_but_a_weight_does(
    encoder: ClipEncoder, clip_model: torch.nn.Module, options: dict[str, Any], tmp_path: Path
):
    state = {key: tensor.clone() for key, tensor in clip_model.state_dict().items()}
    save_file(state, tmp_path / "same.safetensors")
    same = ClipEncoder(**{**options, "weights": str(tmp_path / "same.safetensors")})
    assert same.revision == encoder.revision
    state["visual.proj"][0, 0] += 1e-3
    save_file(state, tmp_path / "other.safetensors")
    record = json.loads(json.dumps(encoder.record()))
    with pytest.raises(EncoderError, match="has revision"):
        encoder_from_record(record, "visual", options={"weights": str(tmp_path / "other.safetensors")})


def test_a_record_names_the_weights_and_not_where_they_lay(
    encoder: ClipEncoder, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    record = json.loads(json.dumps(encoder.record()))
    assert record["options"]["weights"] == "epoch_3.pt" and record["files"] == ["weights"]
    with pytest.raises(EncoderError, match=(
        rf"^visual encoder 'clip': weights epoch_3\.pt \(of revision {encoder.revision[:12]}\) not here; say where it "
        r"lies: give --visual clip weights=FILE$"
    )):
        encoder_from_record(record, "visual", device="cpu")
    monkeypatch.chdir(Path(options["weights"]).parent)
    assert encoder_from_record(record, "visual", device="cpu").revision == encoder.revision


def test_a_record_rebuilds_it(encoder: ClipEncoder, options: dict[str, Any], frames: Tensor):
    record = json.loads(json.dumps(encoder.record()))
    assert {"torch", "open_clip_torch", "timm"} <= record["versions"].keys() and record["width"] == 256
    again = encoder_from_record(record, "visual", device="cpu", options={"weights": options["weights"]})
    prepared = encoder.prepare(frames[:2])
    assert torch.equal(again.encode_frames(prepared), encoder.encode_frames(prepared))


def test_a_store_says_nothing_of_where_the_weights_or_videos_lay(
    encoder: ClipEncoder, options: dict[str, Any], tmp_path: Path, make_clip: Callable[..., Path]
):
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos" / "a.mp4", seconds=1.0, size=(64, 48))
    sound = make_audio_encoder(EncoderChoice("signal"))
    extract(plan_folder(tmp_path / "videos"), tmp_path / "f.h5", encoder, sound, segments=1, workers=0, progress=False)
    said = json.dumps(read_store(tmp_path / "f.h5").provenance)
    assert '"weights": "epoch_3.pt"' in said and "/" not in said.replace(sound.record()["note"], "")


def test_labels_get_rows_of_their_own(encoder: ClipEncoder):
    text = label_text(encoder, make_audio_encoder(EncoderChoice("signal")), ["Bark", "Church bell"])
    assert text.visual.shape == (2, 256)


# --- Weights that are not here, or not these ------------------------------------------------------


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_missing_weights_say_what_to_download_and_where_to_put_it(empty_hub: Path):
    with pytest.raises(EncoderError, match=(
        r"^clip weights ViT-B-32/laion2b_s34b_b79k are not on this machine; fetch them with download=true, or save "
        r"https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors "
        r"and give weights=FILE preprocess=laion2b_s34b_b79k$"
    )):
        ClipEncoder()


def test_weights_in_the_hubs_cache_are_taken(empty_hub: Path):
    home = empty_hub / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    snapshot = home / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_pytorch_model.bin").touch()
    path, tag = find_weights(DEFAULT_MODEL, DEFAULT_WEIGHTS, None, False)
    assert path == snapshot / "open_clip_pytorch_model.bin" and tag == DEFAULT_WEIGHTS


def test_a_file_is_prepared_for_as_the_tag_that_is_named():
    assert find_weights("ViT-B-16-SigLIP", "mine.pt", "webli", False) == (Path("mine.pt"), "webli")
    assert clip.preparation_of("ViT-B-16-SigLIP", "webli")["mean"] == (0.5, 0.5, 0.5)
    assert clip.preparation_of("ViT-B-16-SigLIP", None) == {}


def test_preparation_is_part_of_the_revision(
    encoder: ClipEncoder, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(clip, "preparation_of", lambda *_: {"mean": (0.5, 0.5, 0.5)})
    other = ClipEncoder(**options)
    assert other.preparation.settings["mean"] == (0.5, 0.5, 0.5) and other.revision != encoder.revision


def test_fields_that_the_library_adds_do_not_change_the_revision(
    encoder: ClipEncoder, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    settings, config = clip.open_clip.get_model_preprocess_cfg, clip.open_clip.get_model_config
    monkeypatch.setattr(clip.open_clip, "get_model_config", lambda name: {**config(name), "new": 1, "quick_gelu": 0})
    monkeypatch.setattr(clip.open_clip, "get_model_preprocess_cfg", lambda model: {**settings(model), "new": None})
    assert ClipEncoder(**options).revision == encoder.revision
    assert clip.prepared_as({**encoder.preparation.settings, "size": 224}) == clip.prepared_as(
        {**encoder.preparation.settings, "size": (224, 224)})


@pytest.mark.parametrize(("options", "message"), [
    ({"model": "ViT-Z"}, "open_clip has no model 'ViT-Z'"),
    ({"weights": "nowhere.pt"}, r"nowhere\.pt: no such checkpoint"),
    ({"weights": "laion3b"}, "clip model ViT-B-32 has no tag 'laion3b': weights is one of openai, .*, or weights=FILE"),
    ({"weights": "mine.pt", "preprocess": "laion3b"}, "has no tag 'laion3b'"),
    ({"weights": "openai"}, "disagree on QuickGELU; use model=ViT-B-32-quickgelu"),
    ({"model": "ViT-B-32-quickgelu", "weights": "laion2b_s34b_b79k"}, "has no tag"),
    ({"model": MODEL}, "needs weights: nobody has published weights of it, or a checkpoint FILE of your own"),
    ({"model": "ViT-B-16"}, "needs weights: weights is one of openai"),
    ({"width": 768}, "clip model ViT-B-32 is 512 wide, width=768 was asked for"),
])
def test_what_cannot_be_made_is_refused_in_one_line(options: dict[str, Any], message: str):
    with pytest.raises(EncoderError, match=message) as caught:
        make_frame_encoder(EncoderChoice("clip", options))
    assert "\n" not in str(caught.value)


def test_weights_of_another_model_are_refused(clip_weights: Path):
    with pytest.raises(EncoderError, match=r"epoch_3\.pt: clip model ViT-M-32-alt has other tensors"):
        ClipEncoder(model="ViT-M-32-alt", weights=str(clip_weights))


def test_a_text_tower_of_the_hub_is_not_fetched_unasked(clip_weights: Path, empty_hub: Path):
    with pytest.raises(EncoderError, match="clip model roberta-ViT-B-32 needs files of huggingface"):
        ClipEncoder(model="roberta-ViT-B-32", weights=str(clip_weights))


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path):
    (tmp_path / "mine.pt").write_text("not weights")
    with pytest.raises(EncoderError, match=r"mine\.pt: damaged, or no checkpoint"):
        ClipEncoder(model=MODEL, weights=str(tmp_path / "mine.pt"))


def test_a_tokenizer_without_its_files_is_refused(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    deaf = torch.zeros(2, 77, dtype=torch.long)
    monkeypatch.setattr(clip.open_clip, "get_tokenizer", lambda _: lambda texts: deaf)
    with pytest.raises(EncoderError, match="the tokenizer of clip model ViT-S-32-alt is empty"):
        ClipEncoder(**options)


# --- The paper's tower ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [192, 256])
def test_the_papers_tower_builds_and_is_512_wide(size: int):
    # Shapes without values: 259 million weights would take a minute to draw.
    with torch.device("meta"):
        model = clip.open_clip.create_model(f"AVSGN-Swin-V2-L-{size}", device="meta")
        seen = model.encode_image(torch.zeros(2, 3, size, size))
        read = model.encode_text(torch.zeros(3, 77, dtype=torch.long))
    assert seen.shape == (2, 512) and read.shape == (3, 512)
    assert 195e6 < sum(weight.numel() for weight in model.visual.parameters()) < 197e6


def test_the_papers_tower_says_that_its_weights_are_not_published():
    with pytest.raises(EncoderError, match="AVSGN-Swin-V2-L-192 needs weights: nobody has published weights of it"):
        ClipEncoder(model="AVSGN-Swin-V2-L-192")


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.995), ("fp16", 0.999)])
def test_a_gpu_gives_the_same(
    encoder: ClipEncoder, options: dict[str, Any], frames: Tensor, precision: str, least: float
):
    prepared = encoder.prepare(frames)
    there = make_frame_encoder(EncoderChoice("clip", options), device="cuda", precision=precision)
    found = there.encode_frames(prepared)
    assert found.device.type == "cpu" and (found * encoder.encode_frames(prepared)).sum(-1).min() > least
