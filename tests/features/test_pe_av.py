"""A small PE-AV and PE-A-Frame with random weights, saved as their repositories are; the network is never used."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import pe_av
from avsgn_pyg.features.encode import Segment, WindowEncoder
from avsgn_pyg.features.encoder import (
    AudioEncoder,
    EncoderChoice,
    FrameEncoder,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)
from avsgn_pyg.features.pe_a_frame import PeAFrameEncoder
from avsgn_pyg.features.pe_av import PeAvAudio, PeAvFrames

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_network")]

SIZE = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 16}
SOUND = {**SIZE, "dac_config": {"encoder_hidden_size": 2, "codebook_dim": 8}}
SIGHT = {**SIZE, "vision_config": {
    "architecture": "vit_pe_core_large_patch14_336", "num_classes": 16, "do_pooling": True, "global_pool": "map",
    "model_args": {"embed_dim": 32, "depth": 1, "num_heads": 2, "img_size": [28, 28], "ref_feat_shape": [2, 2],
                   "global_pool": "map"},
}}


def language(words: int) -> dict[str, Any]:
    special = {f"{name}_token_id": 0 for name in ("bos", "cls")} | {f"{name}_token_id": 2 for name in ("eos", "sep")}
    return {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "vocab_size": words, "pad_token_id": 1, **special}


def save(model: Any, folder: Path) -> None:
    """Save a model whose random weights are three times as large as usual, so that inputs differ."""
    for parameter in model.parameters():
        parameter.data.mul_(3 if parameter.ndim > 1 else 1)
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, save_tokenizer: Callable[[Path], int]) -> Path:
    """The folder of a PE-AV, with the preprocessing of the published ones but for the size."""
    from transformers import PeAudioVideoConfig, PeAudioVideoModel

    folder = tmp_path_factory.mktemp("pe") / "pe-av-tiny"
    config = PeAudioVideoConfig(
        text_config=language(save_tokenizer(folder)),
        audio_video_config={**SIZE, "audio_config": SOUND, "video_config": SIGHT})
    torch.manual_seed(5)
    save(PeAudioVideoModel(config), folder)
    (folder / "video_preprocessor_config.json").write_text(json.dumps({
        "video_processor_type": "PeVideoVideoProcessor", "do_sample_frames": False, "size": {"height": 28, "width": 28},
        "do_normalize": True, "do_resize": True, "do_rescale": True, "do_convert_rgb": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }))
    return folder


@pytest.fixture(scope="module")
def seen(folder: Path) -> PeAvFrames:
    return PeAvFrames(weights=str(folder), batch_size=3)


@pytest.fixture(scope="module")
def heard(folder: Path, seen: PeAvFrames) -> PeAvAudio:
    return PeAvAudio(weights=str(folder), batch_size=3)


@pytest.fixture(scope="module")
def frame_folder(tmp_path_factory: pytest.TempPathFactory, save_tokenizer: Callable[[Path], int]) -> Path:
    """The folder of a PE-A-Frame."""
    from transformers import PeAudioConfig, PeAudioFrameLevelModel

    folder = tmp_path_factory.mktemp("pe") / "pe-a-frame-tiny"
    torch.manual_seed(6)
    config = PeAudioConfig(text_config=language(save_tokenizer(folder)), audio_config=SOUND)
    save(PeAudioFrameLevelModel(config), folder)
    return folder


def sounds(videos: int, seconds: int) -> Tensor:
    return 0.1 * torch.randn(videos, seconds, 48_000, generator=torch.Generator().manual_seed(7))


def pictures(count: int) -> Tensor:
    return torch.randint(256, (count, 40, 60, 3), generator=torch.Generator().manual_seed(8), dtype=torch.uint8)


def test_sound_pictures_and_texts_are_embedded_as_transformers_does(folder: Path, seen: PeAvFrames, heard: PeAvAudio):
    from transformers import AutoTokenizer, PeAudioVideoModel

    model = PeAudioVideoModel.from_pretrained(folder, dtype=torch.float32).eval()
    texts, wave, videos = ["Church bell", "Bark"], sounds(1, 2), seen.preparation(pictures(4)).unflatten(0, (2, 2))
    words = AutoTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = model(input_ids=words["input_ids"], attention_mask=words["attention_mask"],
                         input_values=wave.transpose(0, 1), pixel_values_videos=videos)
    found = {"audio": heard.encode_audio(wave)[0], "video": seen.encode_segments(videos),
             "text_audio": heard.encode_text(texts), "text_video": seen.encode_text(texts)}
    for name, rows in found.items():
        assert torch.allclose(rows, F.normalize(expected[f"{name}_embeds"], dim=-1), atol=1e-5), name
        assert torch.pdist(rows).min() > 1e-2, name
    assert isinstance(seen, FrameEncoder) and isinstance(heard, AudioEncoder) and seen.width == heard.width == 24
    assert heard.encode_audio(wave[:0]).shape == (0, 2, 24) and seen.encode_text([]).shape == (0, 24)


def test_both_encoders_load_one_model_and_say_that_they_share_a_space(
    folder: Path, seen: PeAvFrames, heard: PeAvAudio, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pe_av, "load_model", lambda *_: pytest.fail("the model was loaded again"))
    make_frame_encoder(EncoderChoice("pe_av", {"weights": str(folder)}), device="cpu")
    again = make_audio_encoder(EncoderChoice("pe_av", {"weights": str(folder)}), device="cpu")
    assert again.joint_space == seen.joint_space == seen.record()["joint_space"] and again.revision == heard.revision
    assert seen.revision != heard.revision
    text = label_text(seen, heard, ["Bark", "Church bell"])
    assert text.audio.shape == text.visual.shape == (2, 24) and not torch.allclose(text.audio, text.visual)


def test_the_frames_of_a_second_are_one_short_video(seen: PeAvFrames, heard: PeAvAudio):
    frames = seen.preparation(pictures(4))
    windows = [[Segment(frames[:2], sounds(1, 1)[0, 0]), Segment(frames[2:], sounds(1, 1)[0, 0])]]
    [(audio, visual)] = WindowEncoder(seen, heard)(windows)
    assert torch.allclose(visual, seen.encode_segments(frames.unflatten(0, (2, 2))), atol=1e-6)
    assert not torch.allclose(visual, F.normalize(seen.encode_frames(frames).unflatten(0, (2, 2)).mean(1), dim=-1))
    assert audio.shape == (2, 24)


def test_the_preparation_is_pickled_without_the_model(seen: PeAvFrames):
    frames = pictures(2)
    dumped = pickle.dumps(seen.preparation)
    assert len(dumped) < 1000 and torch.equal(pickle.loads(dumped)(frames), seen.preparation(frames))
    assert seen.preparation(frames).shape == (2, 3, 28, 28) and seen.preparation(frames).abs().max() <= 1
    assert seen.preparation(frames[:0]).shape == (0, 3, 28, 28)


def test_a_record_rebuilds_them(folder: Path, seen: PeAvFrames, heard: PeAvAudio, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder.parent)
    record = json.loads(json.dumps(heard.record()))
    assert record["options"] == {"weights": "pe-av-tiny"} == seen.record()["options"]
    assert encoder_from_record(record, "audio", device="cpu").revision == heard.revision


def test_half_precision_changes_little(folder: Path, heard: PeAvAudio):
    wave = sounds(1, 2)
    exact, rough = heard.encode_audio(wave), PeAvAudio(weights=str(folder), precision="bf16").encode_audio(wave)
    assert not torch.equal(exact, rough) and (exact * rough).sum(-1).min() > 0.98


def test_weights_of_another_model_are_an_error(folder: Path, frame_folder: Path, seen: PeAvFrames):
    with pytest.raises(EncoderError, match=r"pe-a-frame-tiny: a model of type pe_audio, expected pe_audio_video"):
        PeAvAudio(weights=str(frame_folder))
    with pytest.raises(EncoderError, match=r"pe-av-tiny: a model of type pe_audio_video, expected pe_audio"):
        PeAFrameEncoder(weights=str(folder))  # while `seen` has the same folder loaded as another model
    with pytest.raises(EncoderError, match="facebook/pe-av-small are not on this machine"):
        PeAvFrames()


# --- PE-A-Frame -----------------------------------------------------------------------------------


def test_steps_of_40_ms_are_averaged_to_seconds(frame_folder: Path):
    from transformers import PeAudioFrameLevelModel

    model = PeAudioFrameLevelModel.from_pretrained(frame_folder, dtype=torch.float32).eval()
    encoder, wave = PeAFrameEncoder(weights=str(frame_folder)), sounds(1, 2)
    with torch.inference_mode():
        steps = model.get_audio_embeds(wave.flatten(1)[:, None])
    assert steps.shape == (1, 50, 24)
    expected = F.normalize(steps.unflatten(1, (2, 25)).mean(2), dim=-1)
    assert torch.allclose(encoder.encode_audio(wave), expected, atol=1e-5)
    assert not torch.allclose(encoder.encode_audio(wave[:, :1]), expected[:, :1], atol=1e-4)
    assert encoder.encode_text(["Bark", "Church bell"]).shape == (2, 24) and isinstance(encoder, AudioEncoder)
