"""The set-up script, with pip, venv and the new environment's Python replaced by recorders."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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

    def compiled(self) -> list[str]:
        """Folders into which torch_scatter was compiled."""
        return [call[call.index("-w") + 1] for call in self.pip_calls if call[0] == "wheel"]

    def installs(self, what: str) -> list[list[str]]:
        return [call for call in self.pip_calls if any(what in word for word in call)]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools" / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    env = tmp_path / ".venv"
    for name in ("TORCH", "TORCH_VERSION", "EXTRAS", "SCATTER", "PYG_WHEELS", "FORCE_ONLY_CPU", "FORCE_CUDA",
                 "FORCE_ONLY_CUDA"):
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
    monkeypatch.setattr(bootstrap, "read_page", lambda address: ("", f"{address}: no network in a test"))
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
    assert recorder.pip_calls[-1][0] == "install"


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


def test_more_extras_keep_the_environment(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXTRAS", "dev")
    bootstrap.main([])
    monkeypatch.setenv("EXTRAS", "dev,extract")
    bootstrap.main([])
    assert recorder.created == 1
    assert recorder.installs("-e")[-1][-1] == f"{ROOT}[dev,extract]"
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
    last = recorder.installs("-e")[-1]
    assert last[last.index("-c") + 1] == str(bootstrap.ENV / "constraints.txt")


def test_a_wheel_is_compiled_once_for_each_torch(
    bootstrap: ModuleType, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        bootstrap.install_scatter()
    assert {"DIST_EXTRA_CONFIG", "CFLAGS", "TMPDIR"} <= set(recorder.compiler)
    recorder.known_to_itself = ["2.13.0+cpu", None, None, False]
    bootstrap.install_scatter()
    assert len(recorder.compiled()) == 2 and len(set(recorder.compiled())) == 2
    assert all(Path(folder).is_relative_to(tmp_path / "cache") for folder in recorder.compiled())
    assert len(recorder.installs("--find-links")) == 3


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


def test_the_script_needs_nothing_but_the_standard_library() -> None:
    run = subprocess.run([sys.executable, "-I", "-S", ROOT / "tools" / "bootstrap.py", "--help"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "TORCH=cpu" in run.stdout


# --- PyG's prebuilt wheel ------------------------------------------------------------------------

TORCH = "9.9.9+cpu"
LOADS = "class Sums:\n    tolist = lambda self: [2.0, 1.0]\nscatter = lambda *_, **__: Sums()\n"


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; slow.html takes longer than the probe."""

    def do_GET(self) -> None:
        if "slow" in self.path:
            time.sleep(2.0)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder behind a wheel index on this machine, to which PYG_WHEELS points."""
    folder = tmp_path / "pages"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PYG_WHEELS", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


@pytest.fixture
def apart(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This Python in place of the new environment's; what it installs goes into a folder of the test."""
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    (tmp_path / "wheels").mkdir()
    return tmp_path / "wheels"


def list_wheel(pages: Path, code: str, tag: str = "") -> None:
    """A wheel of one module, and the page of TORCH that lists it."""
    tag = tag or f"cp{sys.version_info[0]}{sys.version_info[1]}"
    name = f"torch_scatter-2.1.2+pt999cpu-{tag}-{tag}-linux_{os.uname().machine}.whl"
    info = "torch_scatter-2.1.2+pt999cpu.dist-info"
    with zipfile.ZipFile(pages / name, "w") as wheel:
        wheel.writestr("torch_scatter/__init__.py", code)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch-scatter\nVersion: 2.1.2+pt999cpu\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-{tag}-linux_x86_64\n")
        wheel.writestr(f"{info}/RECORD", "")
    (pages / f"torch-{TORCH}.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a><br>')


on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the made wheel is of Linux")


@on_linux
def test_a_prebuilt_wheel_is_installed_and_kept(
    bootstrap: ModuleType, apart: Path, pages: Path, tmp_path: Path
) -> None:
    list_wheel(pages, LOADS)
    assert bootstrap.fetch_prebuilt(apart, TORCH) == ""
    assert (tmp_path / "site" / "torch_scatter" / "__init__.py").read_text() == LOADS
    assert [path.suffix for path in apart.iterdir()] == [".whl"]


@on_linux
def test_a_prebuilt_wheel_that_does_not_load_is_dropped(bootstrap: ModuleType, apart: Path, pages: Path) -> None:
    list_wheel(pages, "raise ImportError('undefined symbol')")
    assert "does not load" in bootstrap.fetch_prebuilt(apart, TORCH)
    assert not list(apart.iterdir())


def test_a_page_without_a_wheel_for_this_python_is_a_reason_to_compile(
    bootstrap: ModuleType, apart: Path, pages: Path
) -> None:
    assert "404" in bootstrap.fetch_prebuilt(apart, TORCH)
    list_wheel(pages, LOADS, tag="cp27")
    assert "lists none for cp3" in bootstrap.fetch_prebuilt(apart, TORCH)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://[", "nothing"])
def test_an_index_that_cannot_be_reached_is_a_reason_to_compile(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("PYG_WHEELS", address)
    assert address in bootstrap.fetch_prebuilt(tmp_path, TORCH)


def test_a_slow_index_is_waited_for_no_longer_than_the_probe(
    bootstrap: ModuleType, pages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "PROBE_SECONDS", 0.2)
    start = time.monotonic()
    _, problem = bootstrap.read_page(f"{os.environ['PYG_WHEELS']}/slow.html")
    assert problem and time.monotonic() - start < 1.5


def test_kernels_that_are_forced_are_compiled(
    bootstrap: ModuleType, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("FORCE_ONLY_CPU", "1")
    bootstrap.install_scatter()
    assert len(recorder.compiled()) == 1 and "no prebuilt torch_scatter (kernels are chosen" in capsys.readouterr().out


# --- While it compiles ---------------------------------------------------------------------------


@pytest.mark.parametrize(("terminal", "said"), [
    (False, "2 of 7 sources, 0 s\n"), (True, "\r  compile torch_scatter: 2 of 7"),
])
def test_a_compilation_says_how_far_it_is(
    bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    terminal: bool, said: str,
) -> None:
    monkeypatch.setattr(bootstrap.sys.stdout, "isatty", lambda: terminal)
    watch = bootstrap.Progress(tmp_path, " of 7")
    for name in ("a.o", "b.o", "c.cpp"):
        (tmp_path / name).touch()
    watch()
    assert bool(capsys.readouterr().out) == terminal  # elsewhere a line now and then
    monkeypatch.setattr(bootstrap, "EVERY", 0.0)
    watch()
    assert said in capsys.readouterr().out


def test_pip_is_watched_while_it_runs(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "python"
    script.write_text(f"#!{sys.executable}\nimport sys, time; time.sleep(1.5); sys.exit(3)\n")
    script.chmod(0o755)
    monkeypatch.setattr(bootstrap, "PYTHON", script)
    seen = []

    class Watch:
        def __call__(self) -> None:
            seen.append("called")

        def close(self) -> None:
            seen.append("closed")

    with pytest.raises(subprocess.CalledProcessError) as failed:
        bootstrap.pip("wheel", watch=Watch())
    assert failed.value.returncode == 3 and seen == ["called", "closed"]


@pytest.fixture
def beside(bootstrap: ModuleType, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable:
    """Compile with a script beside it."""
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))

    def install(code: str) -> None:
        (tmp_path / "tool.py").write_text(code)
        bootstrap.install_scatter([str(tmp_path / "tool.py"), "word"])

    return install


def test_a_tool_runs_beside_the_compilation_and_its_output_follows(beside, recorder, capsys) -> None:
    beside("import sys; print('made', *sys.argv[1:])")
    assert "made word\n" in capsys.readouterr().out and len(recorder.compiled()) == 1
    beside("print('made again')")
    assert "made again" not in capsys.readouterr().out  # nothing is compiled, so nothing is begun beside it


def test_a_tool_that_fails_beside_the_compilation_fails_the_set_up(beside, capsys) -> None:
    with pytest.raises(SystemExit, match=r"tool\.py word: failed with exit status 5"):
        beside("import sys; print('no room'); sys.exit(5)")
    assert "no room" in capsys.readouterr().out


def test_a_compilation_that_fails_ends_the_tool_beside_it(beside, recorder) -> None:
    recorder.fails_on = "wheel"
    start = time.monotonic()
    with pytest.raises(SystemExit, match="compiler"):
        beside("import time; time.sleep(60)")
    assert time.monotonic() - start < 30
