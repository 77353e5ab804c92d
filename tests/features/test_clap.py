"""The real CLAP architecture with random weights, loaded from a checkpoint; the network is never used."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from avsgn_pyg.common.errors import EncoderError
from avsgn_pyg.features import clap
from avsgn_pyg.features.clap import ClapEncoder, build
from avsgn_pyg.features.encoder import AudioEncoder, EncoderChoice, encoder_from_record, make_audio_encoder

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_network")]


@pytest.fixture(scope="module")
def encoder(clap_options: dict[str, Any]) -> ClapEncoder:
    return ClapEncoder(**clap_options, batch_size=4)


@pytest.fixture(autouse=True)
def built_already(clap_library: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load into the library's module in place of building another, which takes seconds."""
    monkeypatch.setattr(clap, "build", lambda *_: clap_library)


def waves(videos: int, seconds: int) -> Tensor:
    """Noise of another colour and loudness each second, some of it too loud, [V, S, 48000]."""
    draw = torch.Generator().manual_seed(4)
    noise = torch.randn(videos, seconds, 48_000, generator=draw)
    smooth = F.avg_pool1d(noise, 9, 1, 4)
    mix = torch.rand(videos, seconds, 1, generator=draw)
    return (mix * noise + (1 - mix) * 3 * smooth) * 2 ** -torch.arange(float(seconds))[:, None].remainder(5)


def tone() -> Tensor:
    """A second of a pure tone, nearly all of whose bands are silent, [1, 1, 48000]."""
    return (0.5 * torch.sin(2 * torch.pi * 440 * torch.arange(48_000) / 48_000))[None, None]


def tensors(library: torch.nn.Module) -> dict[str, Tensor]:
    """Its weights as safetensors takes them."""
    return {key: tensor.contiguous() for key, tensor in library.model.state_dict().items()}


def embedded(library: torch.nn.Module, sounds: Tensor) -> Tensor:
    """Embeddings by laion_clap's own function of sounds [N, any length]."""
    with torch.inference_mode():
        return torch.from_numpy(library.get_audio_embedding_from_data(sounds.numpy()))


def test_seconds_and_texts_are_embedded_as_laion_clap_does(encoder: ClapEncoder, clap_library: torch.nn.Module):
    sounds, texts = waves(2, 1), ["Church bell", "Male speech, man speaking", "Frying (food)"]
    found, rows = encoder.encode_audio(sounds), encoder.encode_text(texts)
    assert sounds.abs().max() > 1  # clipped by the quantisation
    assert torch.equal(found.flatten(0, 1), embedded(clap_library, sounds.flatten(0, 1)))
    with torch.inference_mode():
        assert torch.allclose(rows, torch.from_numpy(clap_library.get_text_embedding(texts)), atol=1e-5)
    assert isinstance(encoder, AudioEncoder) and found.dtype == rows.dtype == torch.float32
    for vectors in (found.flatten(0, 1), rows):
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(len(vectors))) and torch.pdist(vectors).min() > 1e-3


def test_the_spectrum_is_finite_float32_under_autocast(clap_options: dict, clap_library: Any):
    """Its floor of 1e-10 is 0 in half floats, whose logarithm is no number."""
    ClapEncoder(**clap_options)
    branch = clap_library.model.audio_branch
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.float16):
        spectrum = branch.logmel_extractor(branch.spectrogram_extractor(tone()[0].repeat(1, 10)))
    assert spectrum.dtype == torch.float32 and spectrum.isfinite().all()
    assert spectrum.min() == -100  # dB, of empty bands


def test_in_one_pass_a_second_depends_most_on_its_own_sound(encoder: ClapEncoder, clap_options: dict[str, Any]):
    whole, sounds = ClapEncoder(**clap_options, audio_pass="video"), 0.001 * waves(1, 10)
    first = whole.encode_audio(sounds)
    sounds[0, 7] = waves(1, 1)[0, 0]
    assert (whole.encode_audio(sounds) - first)[0].norm(dim=-1).argmax() == 7
    assert encoder.each_second_alone and not whole.each_second_alone and whole.revision != encoder.revision


# --- Checkpoints and records ----------------------------------------------------------------------


def test_a_record_rebuilds_it_from_another_file_format(
    encoder: ClapEncoder, clap_library: torch.nn.Module, clap_options: dict[str, Any], tmp_path: Path
):
    save_file(tensors(clap_library), tmp_path / "clap.safetensors")
    record = json.loads(json.dumps(encoder.record()))
    assert record["files"] == ["tokenizer", "weights"] and "/" not in json.dumps(record["options"])
    with pytest.raises(EncoderError, match="tokenizer=FILE"):
        encoder_from_record(record, "audio")
    here = {"weights": str(tmp_path / "clap.safetensors"), "tokenizer": clap_options["tokenizer"]}
    assert encoder_from_record(record, "audio", options=here, device="cpu").revision == encoder.revision


def test_building_leaves_sys_path_and_transformers_as_they_were(clap_library: torch.nn.Module):
    assert "laion_clap" in sys.modules and not [path for path in sys.path if path.endswith("laion_clap")]
    for cls in (clap.transformers.RobertaTokenizer, clap.transformers.BertTokenizer, clap.transformers.RobertaModel):
        assert "from_pretrained" not in cls.__dict__


@pytest.mark.parametrize(("options", "message"), [
    ({"weights": None}, "630k-audioset-best.pt and give weights=FILE"),
    ({"weights": "nowhere.pt"}, r"nowhere\.pt: no such checkpoint"),
    ({"weights": "630k"}, "no weights '630k'"),
    ({"weights": "630k-fusion-best"}, "model=HTSAT-tiny fused=true, not"),
    # Without its files transformers makes a tokenizer of a few words, for which every label is the same.
    ({"tokenizer": "nowhere"}, "nowhere: no such folder"),
    ({"tokenizer": ".", "vocabulary": 50_265}, "not 50265; fetch it with download=true, or save vocab.json"),
    ({"model": "HTSAT-huge"}, "'HTSAT-tiny' or 'HTSAT-base'"),
    ({"audio_pass": "both"}, "audio_pass='both'"),
    ({"fused": True}, "torchaudio"),
])
def test_an_encoder_that_cannot_be_built_raises_one_line(
    clap_options: dict[str, Any], options: dict[str, Any], message: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EncoderError, match=message) as caught:
        make_audio_encoder(EncoderChoice("clap", {**clap_options, **options}))
    assert "\n" not in str(caught.value)


def test_a_model_without_published_weights_is_an_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda name: SimpleNamespace())
    with pytest.raises(EncoderError, match="no weights of HTSAT-base with fused=true are published"):
        ClapEncoder(model="HTSAT-base", fused=True)


# --- Fusion ---------------------------------------------------------------------------------------


class _Mel:
    """Mel bands of the right shape, in place of torchaudio's, which is needed for nothing else."""

    def __init__(self, n_fft: int, hop_length: int, n_mels: int, **_: Any) -> None:
        self.n_fft, self.hop, self.bands = n_fft, hop_length, n_mels

    def to(self, _: Any) -> _Mel:
        return self

    def __call__(self, wave: Tensor) -> Tensor:
        window = torch.hann_window(self.n_fft)
        power = torch.stft(wave, self.n_fft, self.hop, window=window, return_complex=True).abs().square()
        return F.adaptive_avg_pool1d(power.T, self.bands).T


@pytest.mark.slow
def test_the_fused_model_is_embedded_as_laion_clap_does(
    clap_library: torch.nn.Module, clap_options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    decibels = {"AmplitudeToDB": lambda **_: lambda mel: 10 * mel.clamp_min(1e-10).log10()}
    transforms = SimpleNamespace(MelSpectrogram=_Mel, **decibels)
    monkeypatch.setattr(sys.modules["laion_clap.training.data"], "torchaudio", SimpleNamespace(transforms=transforms))
    monkeypatch.setitem(sys.modules, "torchaudio", ModuleType("torchaudio"))
    monkeypatch.setattr(clap.importlib.util, "find_spec", lambda name: SimpleNamespace())
    fused = build("HTSAT-tiny", True, clap_library.tokenize).eval()
    monkeypatch.setattr(clap, "build", lambda *_: fused)
    save_file(tensors(fused), tmp_path / "fused.safetensors")
    options = {**clap_options, "weights": str(tmp_path / "fused.safetensors")}
    sounds = waves(1, 2)
    assert torch.allclose(ClapEncoder(**options, fused=True).encode_audio(sounds)[0], embedded(fused, sounds[0]),
                          atol=1e-6)
    monkeypatch.setattr(clap, "build", lambda *_: clap_library)
    with pytest.raises(EncoderError, match=r"fused\.safetensors: .*unknown.*is it HTSAT-tiny with fused=false"):
        ClapEncoder(**options)


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "least"), [("fp32", 0.9999), ("bf16", 0.99), ("fp16", 0.999)])
@pytest.mark.parametrize("audio_pass", ["segment", "video"])
def test_a_gpu_gives_the_same(
    clap_options: dict[str, Any], clap_library: torch.nn.Module, precision: str, least: float, audio_pass: str
):
    options, sounds = {**clap_options, "audio_pass": audio_pass}, torch.cat([waves(1, 3), torch.zeros(1, 1, 48_000)], 1)
    expected = ClapEncoder(**options).encode_audio(sounds)
    try:
        found = ClapEncoder(**options, device="cuda", precision=precision).encode_audio(sounds)
    finally:
        clap_library.to("cpu")
    assert found.isfinite().all() and found.device.type == "cpu"
    assert (found * expected).sum(-1).min() > least
