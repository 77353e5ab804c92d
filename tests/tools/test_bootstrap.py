"""The set-up script, with pip, venv and the new environment's Python replaced by recorders."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    """What the script asked of pip and venv, and what the made environment answers."""

    def __init__(self, env: Path) -> None:
        self.env, self.pip_calls, self.created = env, [], 0
        self.known_to_pip, self.known_to_itself = "2.13.0", ["2.13.0+cu130", "13.0", None, True]
        self.fails_on = ""

    def create(self, env: Path, **_: object) -> None:
        self.created += 1
        (env / "bin").mkdir()
        (env / "bin" / "python").touch()

    def pip(self, *args: object, **options: object) -> None:
        call = [str(arg) for arg in args]
        self.pip_calls.append(call)
        if self.fails_on and self.fails_on in " ".join(call):
            raise subprocess.CalledProcessError(7, "pip")
        if call[0] == "wheel":
            self.compiler = options["env"]
            (Path(call[call.index("-w") + 1]) / "torch_scatter-2.1.2-any.whl").touch()

    def ask(self, code: str) -> str:
        return self.known_to_pip if "metadata" in code else json.dumps(self.known_to_itself)

    def installs(self, what: str) -> list[list[str]]:
        return [call for call in self.pip_calls if any(what in word for word in call)]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    env = tmp_path / ".venv"
    for name in ("TORCH", "TORCH_VERSION", "EXTRAS", "SCATTER", "FORCE_ONLY_CPU", "FORCE_CUDA", "FORCE_ONLY_CUDA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "ENV", env)
    monkeypatch.setattr(module, "PYTHON", env / "bin" / "python")
    monkeypatch.setattr(module, "STAMP", env / module.STAMP.name)
    return module


@pytest.fixture
def recorder(bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder(bootstrap.ENV)
    monkeypatch.setattr(bootstrap.venv, "create", made.create)
    monkeypatch.setattr(bootstrap, "pip", made.pip)
    monkeypatch.setattr(bootstrap, "ask", made.ask)
    return made


def test_a_second_run_does_nothing(
    bootstrap: ModuleType, recorder: Recorder, capsys: pytest.CaptureFixture
) -> None:
    assert bootstrap.main([]) == 0
    before = len(recorder.pip_calls)
    capsys.readouterr()
    assert bootstrap.main([]) == 0
    assert (len(recorder.pip_calls), recorder.created, capsys.readouterr().out) == (before, 1, "")


def test_an_interrupted_set_up_goes_on_in_the_same_environment(
    bootstrap: ModuleType, recorder: Recorder
) -> None:
    recorder.fails_on = "wheel --no-build-isolation"
    with pytest.raises(SystemExit, match="compiler"):
        bootstrap.main([])
    recorder.fails_on = ""
    assert bootstrap.main([]) == 0
    assert recorder.created == 1
    assert len(recorder.installs("torch_scatter==")) == 3  # two tries to compile, one install


def test_a_venv_that_could_not_be_made_is_made_anew(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_pip(env: Path, **_: object) -> None:
        (env / "bin").mkdir()
        (env / "bin" / "python").touch()
        raise subprocess.CalledProcessError(1, "ensurepip")

    monkeypatch.setattr(bootstrap.venv, "create", without_pip)
    with pytest.raises(SystemExit, match="python3-venv"):
        bootstrap.main([])
    monkeypatch.setattr(bootstrap.venv, "create", recorder.create)
    assert bootstrap.main([]) == 0
    assert recorder.created == 1


def test_another_torch_build_makes_the_environment_anew(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.main([])
    monkeypatch.setenv("TORCH", "cu126")
    bootstrap.main([])
    first, second = recorder.installs("torch==2.13.0")
    assert recorder.created == 2
    assert "--index-url" not in first
    assert second[1:3] == ["--index-url", "https://download.pytorch.org/whl/cu126"]


@pytest.mark.parametrize("given", [None, ""], ids=["unset", "empty as make exports it"])
@pytest.mark.parametrize(("name", "value"), [
    ("TORCH", "cu126"), ("TORCH_VERSION", "2.12.0"), ("EXTRAS", "dev"), ("SCATTER", "0"),
])
def test_a_setting_that_is_not_given_stays(
    bootstrap: ModuleType,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    given: str | None,
) -> None:
    monkeypatch.setenv(name, value)
    bootstrap.main([])
    before = len(recorder.pip_calls)
    monkeypatch.delenv(name) if given is None else monkeypatch.setenv(name, given)
    assert bootstrap.main([]) == 0
    assert (len(recorder.pip_calls), recorder.created) == (before, 1)


def test_a_setting_that_differs_from_the_one_kept_is_followed(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for build in ("cu126", "", "cpu", ""):
        monkeypatch.setenv("TORCH", build)
        bootstrap.main([])
    indices = [call[2].rpartition("/")[2] for call in recorder.installs("torch==2.13.0")]
    assert (indices, recorder.created) == (["cu126", "cpu"], 2)


def test_torch_scatter_that_was_left_out_comes_when_it_is_asked_for(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wanted in ("0", "1"):
        monkeypatch.setenv("SCATTER", wanted)
        bootstrap.main([])
    assert recorder.created == 1
    assert bootstrap.TORCH_SCATTER in recorder.pip_calls[-1]


def test_an_interrupted_set_up_goes_on_with_its_settings(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH", "cu126")
    recorder.fails_on = "torch==2.13.0"
    with pytest.raises(SystemExit, match="stay as last given"):
        bootstrap.main([])
    recorder.fails_on = ""
    monkeypatch.delenv("TORCH")
    assert bootstrap.main([]) == 0
    assert all("cu126" in call[2] for call in recorder.installs("torch==2.13.0"))
    assert recorder.created == 1


def test_more_extras_keep_the_environment(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRAS", "dev")
    bootstrap.main([])
    monkeypatch.setenv("EXTRAS", "dev,extract")
    bootstrap.main([])
    assert recorder.created == 1
    assert recorder.pip_calls[-1][-1] == f"{ROOT}[dev,extract]"
    assert "torchvision==0.28.0" in recorder.installs("torch==2.13.0")[-1]  # in one resolution


def test_an_environment_made_by_others_is_left_alone(bootstrap: ModuleType, recorder: Recorder) -> None:
    bootstrap.ENV.mkdir()
    kept = bootstrap.ENV / "precious"
    kept.touch()
    with pytest.raises(SystemExit, match="not made by this script"):
        bootstrap.main([])
    assert kept.exists() and not recorder.pip_calls


def test_constraints_carry_the_version_that_pip_knows(bootstrap: ModuleType, recorder: Recorder) -> None:
    bootstrap.main([])
    assert (bootstrap.ENV / "constraints.txt").read_text() == "torch==2.13.0\ntorchvision==0.28.0\n"
    last = recorder.pip_calls[-1]
    assert last[last.index("-c") + 1] == str(bootstrap.ENV / "constraints.txt")


def test_a_wheel_is_compiled_once_for_each_torch(
    bootstrap: ModuleType, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bootstrap.build_scatter()
    assert bootstrap.build_scatter() == first
    assert len(recorder.installs("torch_scatter==")) == 1
    assert {"DIST_EXTRA_CONFIG", "CFLAGS"} <= set(recorder.compiler)
    recorder.known_to_itself = ["2.13.0+cpu", None, None, False]
    second = bootstrap.build_scatter()
    assert second != first and second.is_relative_to(tmp_path / "cache")
    assert len(recorder.installs("torch_scatter==")) == 2


@pytest.mark.parametrize(("told", "name"), [
    (["2.13.0+cpu", None, None, False], "2.13.0+cpu"),
    (["2.13.0", None, None, False], "2.13.0+cpu"),
    (["2.13.0+cu126", "12.6", None, True], "2.13.0+cu126"),
    (["2.13.0", "12.6", None, True], "2.13.0+cu126"),
    (["2.13.0a0+git12ab", "13.0", None, True], "2.13.0a0+git12ab.cu130"),
    (["2.13.0+rocm6.4", None, "6.4.43482-0f2d60242", True], "2.13.0+rocm6.4"),
    (["2.13.0+cu126", "12.6", None, False], "2.13.0+cu126-cpu_kernels"),
])
def test_the_cache_tells_cpu_from_cuda(bootstrap: ModuleType, told: list, name: str) -> None:
    assert bootstrap.torch_build(*told) == name


def test_a_wheel_without_cuda_kernels_is_not_served_where_they_compile(
    bootstrap: ModuleType, recorder: Recorder
) -> None:
    recorder.known_to_itself[-1] = False
    without = bootstrap.build_scatter()
    recorder.known_to_itself[-1] = True
    assert bootstrap.build_scatter() != without
    assert len(recorder.installs("torch_scatter==")) == 2


@pytest.mark.parametrize(("force", "kernels"), [("FORCE_ONLY_CPU", False), ("FORCE_CUDA", True)])
def test_torch_answers_for_its_build_and_the_kernels_asked_for(
    bootstrap: ModuleType, monkeypatch: pytest.MonkeyPatch, force: str, kernels: bool
) -> None:
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv(force, "1")
    told = [torch.__version__, torch.version.cuda, torch.version.hip, kernels]
    assert json.loads(bootstrap.ask(bootstrap.ASK_TORCH)) == told


def test_torch_scatter_can_be_left_out(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCATTER", "0")
    assert bootstrap.main([]) == 0
    assert not recorder.installs("torch_scatter==")


@pytest.mark.parametrize("version", [(3, 9, 18), (3, 13, 0)])
def test_a_python_without_wheels_is_refused_before_anything_is_made(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...]
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"3\.10 to 3\.12"):
        bootstrap.main([])
    assert not bootstrap.ENV.exists()


def test_an_unknown_argument_is_refused(bootstrap: ModuleType, recorder: Recorder) -> None:
    with pytest.raises(SystemExit) as stopped:
        bootstrap.main(["--torch", "cpu"])
    assert stopped.value.code == 2 and not recorder.pip_calls


def test_the_script_needs_nothing_but_the_standard_library() -> None:
    run = subprocess.run([sys.executable, "-I", "-S", ROOT / "tools" / "bootstrap.py", "--help"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "TORCH=cpu" in run.stdout
