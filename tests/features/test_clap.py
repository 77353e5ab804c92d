"""The real CLAP architecture with random weights, loaded as a user's weights are; the network is never asked."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from avsgn_pyg.features import clap
from avsgn_pyg.features.clap import PUBLISHED, ClapEncoder, build, second_shares
from avsgn_pyg.features.encoder import (
    AudioEncoder,
    EncoderChoice,
    EncoderError,
    encoder_from_record,
    label_text,
    make_audio_encoder,
    make_frame_encoder,
)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for the network fails at once."""

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def encoder(clap_options: dict[str, Any]) -> ClapEncoder:
    return make_audio_encoder(EncoderChoice("clap", clap_options), device="cpu", batch_size=4)


@pytest.fixture
def whole_video(encoder: ClapEncoder, monkeypatch: pytest.MonkeyPatch) -> ClapEncoder:
    """The same weights, heard ten seconds at once."""
    monkeypatch.setattr(encoder, "_audio_pass", encoder._ten_seconds)
    return encoder


def waves(videos: int, seconds: int) -> Tensor:
    """Noise of another colour and loudness each second, some of it too loud, [V, S, 48000]."""
    draw = torch.Generator().manual_seed(4)
    noise = torch.randn(videos, seconds, 48_000, generator=draw)
    smooth = F.avg_pool1d(noise, 9, 1, 4)
    mix = torch.rand(videos, seconds, 1, generator=draw)
    return (mix * noise + (1 - mix) * 3 * smooth) * 2 ** -torch.arange(float(seconds))[:, None].remainder(5)


def whole(library: torch.nn.Module) -> dict[str, Tensor]:
    """Its weights as safetensors takes them."""
    return {key: tensor.contiguous() for key, tensor in library.model.state_dict().items()}


def embedded(library: torch.nn.Module, sounds: Tensor) -> Tensor:
    """What laion_clap's own road makes of sounds [N, any length]."""
    with torch.inference_mode():
        return torch.from_numpy(library.get_audio_embedding_from_data(sounds.numpy()))


def test_seconds_are_embedded_as_laion_clap_does(encoder: ClapEncoder, clap_library: torch.nn.Module):
    sounds = waves(2, 2)
    found = encoder.encode_audio(sounds)
    assert sounds.abs().max() > 1  # clipped by the quantisation, on both roads
    assert torch.equal(found.flatten(0, 1), embedded(clap_library, sounds.flatten(0, 1)))


def test_embeddings_are_float32_distinct_and_of_unit_length(encoder: ClapEncoder):
    found = encoder.encode_audio(waves(1, 3))
    assert found.shape == (1, 3, encoder.width) == (1, 3, 512) and found.dtype == torch.float32
    assert torch.allclose(found.norm(dim=-1), torch.ones(1, 3))
    assert torch.pdist(found[0]).min() > 1e-3


def test_a_second_is_quantised_and_repeated_to_ten(encoder: ClapEncoder):
    sounds = torch.full((1, 48_000), 0.5 / 32767) + torch.linspace(-1.2, 1.2, 48_000)
    heard = encoder._heard(sounds)["waveform"]
    expected = (sounds.clamp(-1, 1) * 32767.0).to(torch.int16) / 32767.0
    assert torch.allclose(heard, expected.repeat(1, 10), atol=1e-7)


def test_three_seconds_are_repeated_thrice_and_filled_with_silence(encoder: ClapEncoder):
    sounds = waves(1, 3).flatten(1)
    heard = encoder._heard(sounds)["waveform"]
    assert torch.equal(heard[:, :144_000], heard[:, 288_000:432_000]) and not heard[:, 432_000:].any()


def test_it_is_an_audio_encoder(encoder: ClapEncoder):
    assert isinstance(encoder, AudioEncoder)


def test_batches_change_nothing(encoder: ClapEncoder, monkeypatch: pytest.MonkeyPatch):
    sounds = waves(1, 3)
    whole = encoder.encode_audio(sounds)
    monkeypatch.setattr(encoder, "batch_size", 1)
    assert torch.allclose(encoder.encode_audio(sounds), whole, atol=1e-5)


def test_nothing_gives_nothing(encoder: ClapEncoder):
    assert encoder.encode_audio(torch.zeros(0, 10, 48_000)).shape == (0, 10, 512)
    assert encoder.encode_audio(torch.zeros(2, 0, 48_000)).shape == (2, 0, 512)
    assert encoder.encode_text([]).shape == (0, 512)


def test_silence_has_features(encoder: ClapEncoder):
    assert encoder.encode_audio(torch.zeros(1, 1, 48_000)).isfinite().all()


def test_bf16_stays_near(encoder: ClapEncoder, monkeypatch: pytest.MonkeyPatch):
    sounds = waves(1, 1)
    exact = encoder.encode_audio(sounds)
    monkeypatch.setattr(encoder, "precision", "bf16")
    rough = encoder.encode_audio(sounds)
    assert not torch.equal(rough, exact) and (rough * exact).sum(-1).min() > 0.99


def tone() -> Tensor:
    """A second of a pure tone, nearly all of whose bands are silent, [1, 1, 48000]."""
    return (0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(48_000) / 48_000))[None, None]


@pytest.mark.parametrize("sound", [torch.zeros(1, 1, 48_000), tone()], ids=["silence", "tone"])
def test_the_spectrum_is_finite_float32_under_autocast(encoder: ClapEncoder, sound: Tensor):
    """Its floor of 1e-10 is 0 in half floats, whose logarithm is no number."""
    branch = encoder._clap.model.audio_branch
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.float16):
        spectrum = branch.logmel_extractor(branch.spectrogram_extractor(sound[0].repeat(1, 10)))
    assert spectrum.dtype == torch.float32 and spectrum.isfinite().all()
    assert spectrum.min() == -100  # dB: bands that hold nothing


# --- One pass over ten seconds --------------------------------------------------------------------


def test_each_second_takes_its_own_tenth():
    shares = second_shares(1024)
    assert torch.allclose(shares.sum(1), torch.ones(10))
    assert torch.allclose(shares.sum(0), torch.full((1024,), 10 / 1024))
    assert shares[0].nonzero().max() == 102 and shares[1].nonzero().min() == 102
    assert torch.equal(second_shares(10), torch.eye(10))


def test_the_seconds_of_a_pass_average_to_the_librarys_embedding(
    whole_video: ClapEncoder, clap_library: torch.nn.Module
):
    """What is averaged is the embedding before its projection: over all ten seconds it is the library's own."""
    sounds = waves(1, 10)
    model, inputs = clap_library.model, whole_video._heard(sounds.flatten(1))
    with torch.inference_mode():
        fine = model.encode_audio(inputs, device="cpu")["fine_grained_embedding"]
        mean = F.normalize(model.audio_projection((second_shares(1024) @ fine).mean(1)), dim=-1)
    assert torch.allclose(mean, embedded(clap_library, sounds.flatten(1)), atol=1e-5)


def test_a_pass_hears_when_something_sounds(whole_video: ClapEncoder):
    sounds = 0.001 * waves(1, 10)
    before = whole_video.encode_audio(sounds)
    sounds[0, 7] = waves(1, 1)[0, 0]
    moved = (whole_video.encode_audio(sounds) - before)[0].norm(dim=-1)
    assert moved.argmax() == 7


@pytest.mark.parametrize("seconds", [1, 3, 10, 13])
def test_videos_of_any_length_get_a_row_a_second(whole_video: ClapEncoder, seconds: int):
    found = whole_video.encode_audio(waves(2, seconds))
    assert found.shape == (2, seconds, 512) and torch.allclose(found.norm(dim=-1), torch.ones(2, seconds))


def test_the_last_window_reaches_back(whole_video: ClapEncoder):
    sounds = waves(1, 13)
    found, last = whole_video.encode_audio(sounds), whole_video.encode_audio(sounds[:, 3:])
    assert torch.allclose(found[:, 3:], last, atol=1e-5)
    assert torch.allclose(found[:, :3], whole_video.encode_audio(sounds[:, :10])[:, :3], atol=1e-5)


@pytest.fixture
def built_already(clap_library: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load into the library's module in place of building another, which takes seconds."""
    monkeypatch.setattr(clap, "build", lambda *_: clap_library)


def test_the_audio_pass_is_recorded_and_part_of_the_revision(
    encoder: ClapEncoder, clap_options: dict[str, Any], built_already: None
):
    other = ClapEncoder(**clap_options, audio_pass="video")
    assert encoder.record()["options"]["audio_pass"] == "segment"
    assert other.record()["options"]["audio_pass"] == "video" and other.revision != encoder.revision
    assert encoder.each_second_alone and not other.each_second_alone
    assert not torch.allclose(other.encode_audio(waves(1, 2)), encoder.encode_audio(waves(1, 2)), atol=1e-3)


# --- Text and records -----------------------------------------------------------------------------


def test_labels_are_embedded_as_laion_clap_does(encoder: ClapEncoder, clap_library: torch.nn.Module):
    labels = ["Church bell", "Male speech, man speaking", "Bark", "Violin, fiddle", "Frying (food)"]
    text = label_text(make_frame_encoder(EncoderChoice("signal")), encoder, labels)
    prompts = [f"This sound contains the {label}" for label in labels]
    with torch.inference_mode():
        expected = clap_library.get_text_embedding(prompts[:4]), clap_library.get_text_embedding(prompts[4:])
    assert torch.allclose(text.audio, torch.from_numpy(np.concatenate(expected)), atol=1e-6)
    assert torch.pdist(text.audio).min() > 1e-3


def test_a_record_rebuilds_it_from_another_container(
    encoder: ClapEncoder, clap_library: torch.nn.Module, clap_options: dict[str, Any], built_already: None,
    tmp_path: Path,
):
    save_file(whole(clap_library), tmp_path / "clap.safetensors")
    record = json.loads(json.dumps(encoder.record()))
    assert record["files"] == ["tokenizer", "weights"] and "/" not in json.dumps(record["options"])
    with pytest.raises(EncoderError, match=r"audio encoder 'clap': tokenizer \S+ \(of revision \w{12}\) not here; .* "
                                           r"give --audio clap tokenizer=FILE"):
        encoder_from_record(record, "audio")
    here = {"weights": str(tmp_path / "clap.safetensors"), "tokenizer": clap_options["tokenizer"]}
    again = encoder_from_record(record, "audio", options=here)
    assert torch.equal(again.encode_audio(waves(1, 1)), encoder.encode_audio(waves(1, 1)))


def test_buffers_that_a_version_of_transformers_saves_count_on_neither_side(
    encoder: ClapEncoder, clap_library: torch.nn.Module, clap_options: dict[str, Any], built_already: None
):
    """An older transformers has them in the model, and a checkpoint of a newer one does not."""
    embeddings = clap_library.model.text_branch.embeddings
    embeddings.register_buffer("position_ids", embeddings.position_ids, persistent=True)
    try:
        assert "text_branch.embeddings.position_ids" in clap_library.model.state_dict()
        plain = {key: tensor for key, tensor in whole(clap_library).items() if "position_ids" not in key}
        path = Path(clap_options["weights"]).with_name("newer.safetensors")
        save_file(plain, path)
        assert ClapEncoder(**{**clap_options, "weights": str(path)}).revision == encoder.revision
    finally:
        embeddings.register_buffer("position_ids", embeddings.position_ids, persistent=False)


def test_importing_the_library_leaves_the_path_alone(clap_library: torch.nn.Module):
    assert "laion_clap" in sys.modules and not [path for path in sys.path if path.endswith("laion_clap")]


def test_transformers_answers_for_itself_again(clap_library: torch.nn.Module):
    for cls in (clap.transformers.RobertaTokenizer, clap.transformers.BertTokenizer, clap.transformers.RobertaModel):
        assert "from_pretrained" not in cls.__dict__


# --- What is not here, or does not fit ------------------------------------------------------------


@pytest.fixture
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(clap.transformers.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path / "hub"), raising=False)


def test_missing_weights_say_what_to_download_and_where_to_put_it(empty_hub: None):
    with pytest.raises(EncoderError, match=(
        r"^clap weights 630k-audioset-best are not on this machine; fetch them with download=true, or save "
        r"https://huggingface.co/lukewys/laion_clap/resolve/main/630k-audioset-best.pt and give weights=FILE$"
    )):
        ClapEncoder()


@pytest.mark.parametrize("given", ["nothing", "an empty folder"])
def test_an_empty_tokenizer_is_refused(
    empty_hub: None, clap_options: dict[str, Any], tmp_path: Path, given: str
):
    """The trap: without its files transformers makes one of five words, for which every label is the same."""
    tokenizer = str(tmp_path) if given == "an empty folder" else None
    with pytest.raises(EncoderError, match=r"has \d words, not 50265; fetch it with download=true, or save vocab.json"):
        ClapEncoder(weights=clap_options["weights"], tokenizer=tokenizer)


def test_a_tokenizer_of_another_size_is_refused(clap_options: dict[str, Any]):
    with pytest.raises(EncoderError, match=r"has \d+ words, not 50265"):
        ClapEncoder(weights=clap_options["weights"], tokenizer=clap_options["tokenizer"])


@pytest.mark.parametrize(("options", "message"), [
    ({"tokenizer": "nowhere"}, "nowhere: no such folder for clap's tokenizer"),
    ({"weights": "nowhere.pt"}, r"nowhere\.pt: no such checkpoint"),
    ({"weights": "630k"}, "clap has no weights '630k': give weights=FILE or one of 630k-audioset-best"),
    ({"weights": "630k-fusion-best"}, "are of model=HTSAT-tiny fused=true, not of model=HTSAT-tiny fused=false"),
    ({"weights": "630k-best", "model": "HTSAT-base"}, "are of model=HTSAT-tiny fused=false, not of model=HTSAT-base"),
    ({"model": "HTSAT-huge"}, "'clap' was given model='HTSAT-huge': Input should be 'HTSAT-tiny' or 'HTSAT-base'"),
    ({"audio_pass": "both"}, "'clap' was given audio_pass='both'"),
    ({"width": 256}, "clap is 512 wide, width=256 was asked for"),
])
def test_what_cannot_be_made_is_refused_in_one_line(
    clap_options: dict[str, Any], options: dict[str, Any], message: str
):
    with pytest.raises(EncoderError, match=message) as caught:
        make_audio_encoder(EncoderChoice("clap", {**clap_options, **options}))
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_weights_of_another_model_are_refused(clap_options: dict[str, Any]):
    with pytest.raises(EncoderError, match=r"tensors of another shape .*; is it HTSAT-base with fused=false\?"):
        ClapEncoder(**clap_options, model="HTSAT-base")


def test_every_model_has_default_weights():
    assert {("HTSAT-tiny", False), ("HTSAT-tiny", True), ("HTSAT-base", False)} == set(PUBLISHED.values())


# --- Fusion ---------------------------------------------------------------------------------------


def test_fusion_without_torchaudio_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderError, match="fused=true needs torchaudio, which is not installed"):
        ClapEncoder(fused=True)


def test_base_with_fusion_needs_a_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda name: SimpleNamespace())
    with pytest.raises(EncoderError, match="no weights of HTSAT-base with fused=true are published; give weights=FILE"):
        ClapEncoder(model="HTSAT-base", fused=True)


class _Mel:
    """In place of torchaudio's transforms, which is not needed for anything else: mel bands of the right shape."""

    def __init__(self, n_fft: int, hop_length: int, n_mels: int, **_: Any) -> None:
        self.n_fft, self.hop, self.bands = n_fft, hop_length, n_mels

    def to(self, _: Any) -> _Mel:
        return self

    def __call__(self, wave: Tensor) -> Tensor:
        window = torch.hann_window(self.n_fft)
        power = torch.stft(wave, self.n_fft, self.hop, window=window, return_complex=True).abs().square()
        return F.adaptive_avg_pool1d(power.T, self.bands).T


@pytest.fixture
def stand_in_torchaudio(clap_library: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    decibels = {"AmplitudeToDB": lambda **_: lambda mel: 10 * mel.clamp_min(1e-10).log10()}
    transforms = SimpleNamespace(MelSpectrogram=_Mel, **decibels)
    monkeypatch.setattr(sys.modules["laion_clap.training.data"], "torchaudio", SimpleNamespace(transforms=transforms))
    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda name: SimpleNamespace())


def test_the_fused_model_takes_the_same_road(
    stand_in_torchaudio: None, clap_library: torch.nn.Module, clap_options: dict[str, Any], tmp_path: Path,
):
    fused = build("HTSAT-tiny", True, clap_library.tokenize).eval()
    save_file(whole(fused), tmp_path / "fused.safetensors")
    options, sounds = {**clap_options, "weights": str(tmp_path / "fused.safetensors")}, waves(1, 2)
    encoder = ClapEncoder(**options, fused=True)
    assert torch.allclose(encoder.encode_audio(sounds)[0], embedded(fused, sounds[0]), atol=1e-6)
    rows = encoder._ten_seconds(sounds)
    assert rows.shape == (1, 2, 512) and rows.isfinite().all()


def test_a_fused_model_is_not_taken_for_a_plain_one(
    clap_library: torch.nn.Module, clap_options: dict[str, Any], built_already: None, tmp_path: Path
):
    more = {"audio_branch.patch_embed.mel_conv2d.weight": torch.zeros(1)}
    save_file(whole(clap_library) | more, tmp_path / "fused.safetensors")
    with pytest.raises(EncoderError, match=r"fused\.safetensors: .*unknown.*is it HTSAT-tiny with fused=false\?"):
        ClapEncoder(**{**clap_options, "weights": str(tmp_path / "fused.safetensors")})


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.99), ("fp16", 0.999)])
@pytest.mark.parametrize("audio_pass", ["segment", "video"])
def test_a_gpu_gives_the_same(clap_options: dict[str, Any], precision: str, least: float, audio_pass: str):
    options = {**clap_options, "audio_pass": audio_pass}
    here, there = (make_audio_encoder(EncoderChoice("clap", options), device=device, precision=kind)
                   for device, kind in (("cpu", "fp32"), ("cuda", precision)))
    sounds = torch.cat([waves(1, 3), torch.zeros(1, 1, 48_000), tone()], 1)
    found = there.encode_audio(sounds)
    assert found.isfinite().all()
    assert found.device.type == "cpu" and (found * here.encode_audio(sounds)).sum(-1).min() > least
