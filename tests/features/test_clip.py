"""A real CLIP architecture with random weights, loaded from a checkpoint; the network is never used."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import clip
from avsgn_pyg.features.clip import DEFAULT_MODEL, DEFAULT_WEIGHTS, ClipEncoder, find_weights
from avsgn_pyg.features.encoder import (
    EncoderChoice,
    FrameEncoder,
    encoder_from_record,
    make_frame_encoder,
)

MODEL = "ViT-S-32-alt"
pytestmark = pytest.mark.usefixtures("no_network")


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


def test_pictures_and_texts_are_embedded_as_open_clip_does(
    encoder: ClipEncoder, clip_model: torch.nn.Module, frames: Tensor
):
    texts = [f"This photo contains the {name}" for name in ("dog", "violin", "Frying (food)", "bus", "bell")]
    found, rows = encoder.encode_frames(encoder.preparation(frames)), encoder.encode_text(texts)
    _, _, transform = clip.open_clip.create_model_and_transforms(MODEL)
    prepared = torch.stack([transform(Image.fromarray(frame.numpy())) for frame in frames])
    pickled = pickle.dumps(encoder.preparation)  # without the weights
    assert torch.equal(encoder.preparation(frames), prepared) and len(pickled) < 2000
    assert torch.equal(pickle.loads(pickled)(frames), prepared)
    with torch.inference_mode():
        images = clip_model.encode_image(prepared)
        words = clip_model.encode_text(clip.open_clip.get_tokenizer(MODEL)(texts))
    assert torch.allclose(found, F.normalize(images, dim=-1), atol=1e-6)
    assert torch.allclose(rows, F.normalize(words, dim=-1), atol=1e-6)
    assert isinstance(encoder, FrameEncoder) and found.shape == (6, encoder.width) == (6, 256)
    assert found.dtype == rows.dtype == torch.float32
    assert torch.pdist(found).min() > 1e-3 and torch.pdist(rows).min() > 1e-3


@pytest.mark.slow
def test_half_precision_changes_little(encoder: ClipEncoder, frames: Tensor, monkeypatch: pytest.MonkeyPatch):
    prepared = encoder.preparation(frames)
    whole = encoder.encode_frames(prepared)
    monkeypatch.setattr(encoder, "precision", "bf16")
    rough = encoder.encode_frames(prepared)
    assert not torch.equal(rough, whole) and (rough * whole).sum(-1).min() > 0.995


@pytest.mark.slow
def test_the_file_format_does_not_change_the_revision_but_a_weight_does(
    encoder: ClipEncoder, clip_model: torch.nn.Module, tmp_path: Path
):
    record, path = json.loads(json.dumps(encoder.record())), str(tmp_path / "mine.safetensors")
    state = {key: tensor.clone() for key, tensor in clip_model.state_dict().items()}
    save_file(state, path)
    again = encoder_from_record(record, "visual", device="cpu", options={"weights": path})
    assert again.revision == encoder.revision and record["width"] == 256
    assert {"torch", "open_clip_torch", "timm"} <= record["versions"].keys()
    state["visual.proj"][0, 0] += 1e-3
    save_file(state, path)
    with pytest.raises(EncoderError, match="has revision"):
        encoder_from_record(record, "visual", device="cpu", options={"weights": path})


@pytest.mark.slow
def test_a_record_names_the_weights_without_their_folder(
    encoder: ClipEncoder, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    record = json.loads(json.dumps(encoder.record()))
    assert record["options"]["weights"] == "epoch_3.pt" and record["files"] == ["weights"]
    with pytest.raises(EncoderError, match=r"epoch_3\.pt .*--visual clip weights=FILE"):
        encoder_from_record(record, "visual", device="cpu")
    monkeypatch.chdir(Path(options["weights"]).parent)
    assert encoder_from_record(record, "visual", device="cpu").revision == encoder.revision


def test_weights_are_found_in_the_cache_of_the_hub(no_network: Path):
    home = no_network / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"
    snapshot = home / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text("0" * 40)
    (snapshot / "open_clip_pytorch_model.bin").touch()
    path, tag = find_weights(DEFAULT_MODEL, DEFAULT_WEIGHTS, None, False)
    assert path == snapshot / "open_clip_pytorch_model.bin" and tag == DEFAULT_WEIGHTS


def test_a_file_has_the_preparation_of_the_given_tag():
    assert find_weights("ViT-B-16-SigLIP", "mine.pt", "webli", False) == (Path("mine.pt"), "webli")
    assert clip.preparation_of("ViT-B-16-SigLIP", "webli")["mean"] == (0.5, 0.5, 0.5)
    assert clip.preparation_of("ViT-B-16-SigLIP", None) == {}


@pytest.mark.slow
def test_the_revision_depends_on_the_preparation_but_not_on_new_fields_of_the_library(
    encoder: ClipEncoder, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    settings, config = clip.open_clip.get_model_preprocess_cfg, clip.open_clip.get_model_config
    monkeypatch.setattr(clip.open_clip, "get_model_config", lambda name: {**config(name), "new": 1, "quick_gelu": 0})
    monkeypatch.setattr(clip.open_clip, "get_model_preprocess_cfg", lambda model: {
        **settings(model), "size": settings(model)["size"], "new": None})
    assert ClipEncoder(**options).revision == encoder.revision
    monkeypatch.setattr(clip, "preparation_of", lambda *_: {"mean": (0.5, 0.5, 0.5)})
    assert ClipEncoder(**options).revision != encoder.revision
    known = encoder.preparation.settings
    assert clip.prepared_as({**known, "size": 224}) == clip.prepared_as({**known, "size": (224, 224)})


@pytest.mark.parametrize(("options", "message"), [
    ({}, "open_clip_model.safetensors and give weights=FILE preprocess=laion2b_s34b_b79k"),
    ({"model": "ViT-Z"}, "no model 'ViT-Z'"),
    ({"weights": "nowhere.pt"}, r"nowhere\.pt: no such checkpoint"),
    ({"weights": "laion3b"}, "no tag 'laion3b': weights is one of openai"),
    ({"weights": "openai"}, "use model=ViT-B-32-quickgelu"),
    ({"model": "AVSGN-Swin-V2-L-192"}, "no weights of it are published"),
    ({"model": "ViT-B-16"}, "needs weights: weights is one of openai"),
])
def test_an_encoder_that_cannot_be_built_raises_one_line(
    options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match=message) as caught:
        make_frame_encoder(EncoderChoice("clip", options))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_model_that_needs_files_of_the_hub_is_an_error(clip_weights: Path):
    with pytest.raises(EncoderError, match="needs files of huggingface"):
        ClipEncoder(model="roberta-ViT-B-32", weights=str(clip_weights))


def test_an_empty_tokenizer_is_an_error(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clip.open_clip, "get_tokenizer", lambda _: lambda texts: torch.zeros(2, 77, dtype=torch.long))
    with pytest.raises(EncoderError, match="tokenizer of clip model ViT-S-32-alt is empty"):
        ClipEncoder(**options)


@pytest.mark.slow
def test_a_tokenizer_of_the_hub_can_come_from_a_folder(
    tmp_path: Path, save_tokenizer: Callable[[Path], int], clip_weights: Path
):
    """SigLIP2's, with fewer words; the model is a small one that takes a tokenizer of the hub."""
    text = {"context_length": 16, "vocab_size": 300, "width": 16, "heads": 2, "layers": 1, "pool_type": "last",
            "hf_tokenizer_name": "timm/ViT-B-16-SigLIP2", "tokenizer_kwargs": {"clean": "canonicalize"}}
    small = {"embed_dim": 16, "custom_text": True, "text_cfg": text,
             "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16}}
    (tmp_path / "Small-SigLIP2.json").write_text(json.dumps(small))
    clip.open_clip.add_model_config(tmp_path / "Small-SigLIP2.json")
    torch.save(clip.open_clip.create_model("Small-SigLIP2").state_dict(), tmp_path / "small.pt")
    save_tokenizer(tmp_path / "words")
    options = {"model": "Small-SigLIP2", "weights": str(tmp_path / "small.pt")}
    with pytest.raises(EncoderError, match=r"SigLIP2/tree/main in a folder and give tokenizer=FOLDER"):
        ClipEncoder(**options)
    with pytest.raises(EncoderError, match="nowhere: no such folder"):
        ClipEncoder(**options, tokenizer="nowhere")
    encoder = ClipEncoder(**options, tokenizer=str(tmp_path / "words"))
    assert torch.pdist(encoder.encode_text(["Bark", "Church bell"])).min() > 1e-3
    record = encoder.record()
    assert record["files"] == ["tokenizer", "weights"] and record["options"]["tokenizer"] == "words"
    with pytest.raises(EncoderError, match="has its own tokenizer"):
        ClipEncoder(model=MODEL, weights=str(clip_weights), tokenizer=str(tmp_path / "words"))


@pytest.mark.parametrize(("name", "tag"), [
    ("ViT-B-16-SigLIP2-384", "webli"), ("PE-Core-S-16-384", "meta"), ("PE-Core-B-16", "meta"),
    ("MobileCLIP2-S0", "dfndr2b"),
])
def test_documented_models_have_published_weights(name: str, tag: str):
    with pytest.raises(EncoderError, match=r"huggingface.co/.*and give weights=FILE"):
        find_weights(name, tag, None, False)


@pytest.mark.slow
def test_the_papers_architecture_builds_and_is_512_wide():
    # Shapes without values: 259 million weights would take a minute to draw.
    with torch.device("meta"):
        model = clip.open_clip.create_model("AVSGN-Swin-V2-L-192", device="meta")
        images = model.encode_image(torch.zeros(2, 3, 192, 192))
        texts = model.encode_text(torch.zeros(3, 77, dtype=torch.long))
    assert images.shape == (2, 512) and texts.shape == (3, 512)
    assert 195e6 < sum(weight.numel() for weight in model.visual.parameters()) < 197e6


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.995), ("fp16", 0.999)])
def test_a_gpu_gives_the_same(encoder: ClipEncoder, options: dict, frames: Tensor, precision: str, least: float):
    prepared = encoder.preparation(frames)
    there = make_frame_encoder(EncoderChoice("clip", options), device="cuda", precision=precision)
    found = there.encode_frames(prepared)
    assert found.device.type == "cpu" and (found * encoder.encode_frames(prepared)).sum(-1).min() > least
