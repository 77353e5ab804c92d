"""The set-up script, with pip, venv and the new environment's Python replaced by recorders."""

from __future__ import annotations

import functools
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

ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    """Calls of pip and venv, and the output of the new environment's Python."""

    def __init__(self, env: Path) -> None:
        self.env, self.pip_calls, self.created = env, [], 0
        self.version_for_pip, self.torch_facts = "2.13.0", ["2.13.0+cu130", "13.0", None, True]
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
        return self.version_for_pip if "metadata" in code else json.dumps(self.torch_facts)

    def compiled(self) -> list[str]:
        """Folders into which torch_scatter was compiled."""
        return [call[call.index("-w") + 1] for call in self.pip_calls if call[0] == "wheel"]

    def calls_with(self, what: str) -> list[list[str]]:
        return [call for call in self.pip_calls if any(what in word for word in call)]


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: ModuleType) -> ModuleType:
    module, env = tool, tmp_path / ".venv"
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
    recorder = Recorder(bootstrap.ENV)
    monkeypatch.setattr(bootstrap.venv, "create", recorder.create)
    monkeypatch.setattr(bootstrap, "pip", recorder.pip)
    monkeypatch.setattr(bootstrap, "ask", recorder.ask)
    monkeypatch.setattr(bootstrap, "read_page", lambda address: ("", f"{address}: no network in a test"))
    return recorder


def test_a_second_run_does_nothing(bootstrap: ModuleType, recorder: Recorder, capsys: pytest.CaptureFixture) -> None:
    assert bootstrap.main([]) == 0
    before = len(recorder.pip_calls)
    capsys.readouterr()
    assert bootstrap.main([]) == 0
    assert (len(recorder.pip_calls), recorder.created, capsys.readouterr().out) == (before, 1, "")


def test_an_interrupted_setup_continues_in_the_same_environment(bootstrap: ModuleType, recorder: Recorder) -> None:
    recorder.fails_on = "wheel --no-build-isolation"
    with pytest.raises(SystemExit, match="compiler"):
        bootstrap.main([])
    recorder.fails_on = ""
    assert bootstrap.main([]) == 0
    assert recorder.created == 1
    assert len(recorder.calls_with("torch_scatter==")) == 3  # two tries to compile, one install


@pytest.mark.parametrize("given", [None, ""], ids=["unset", "empty as make exports it"])
@pytest.mark.parametrize(("name", "value"), [
    ("TORCH", "cu126"), ("TORCH_VERSION", "2.12.0"), ("EXTRAS", "dev"), ("SCATTER", "0"),
])
def test_a_setting_that_is_not_given_keeps_its_last_value(bootstrap, recorder, monkeypatch, name, value, given):
    monkeypatch.setenv(name, value)
    bootstrap.main([])
    before = len(recorder.pip_calls)
    monkeypatch.delenv(name) if given is None else monkeypatch.setenv(name, given)
    assert bootstrap.main([]) == 0
    assert (len(recorder.pip_calls), recorder.created) == (before, 1)


def test_another_torch_build_replaces_the_environment(bootstrap, recorder, monkeypatch) -> None:
    for build in ("", "cu126", "", "cpu", ""):
        monkeypatch.setenv("TORCH", build)
        bootstrap.main([])
    first, *others = recorder.calls_with("torch==2.13.0")
    assert recorder.created == 3 and "--index-url" not in first
    assert [call[2] for call in others] == [f"https://download.pytorch.org/whl/{build}" for build in ("cu126", "cpu")]


def test_more_extras_keep_the_environment(bootstrap, recorder, monkeypatch) -> None:
    for extras in ("dev", "dev,extract"):
        monkeypatch.setenv("EXTRAS", extras)
        bootstrap.main([])
    assert recorder.created == 1
    assert recorder.calls_with("-e")[-1][-1] == f"{ROOT}[dev,extract]"
    assert "torchvision==0.28.0" in recorder.calls_with("torch==2.13.0")[-1]  # in one resolution


def test_an_extra_is_added_to_those_of_the_environment_once_and_stays(bootstrap, recorder, monkeypatch) -> None:
    monkeypatch.setenv("EXTRAS", "dev")
    bootstrap.main([])
    monkeypatch.delenv("EXTRAS")
    for arguments in (["--with", "page"], ["--with", "page"], []):
        bootstrap.main(arguments)
    assert [call[-1] for call in recorder.calls_with("-e")] == [f"{ROOT}[dev]", f"{ROOT}[dev,page]"]


def test_an_environment_of_another_origin_is_not_touched(bootstrap: ModuleType, recorder: Recorder) -> None:
    bootstrap.ENV.mkdir()
    (bootstrap.ENV / "precious").touch()
    with pytest.raises(SystemExit, match="not made by this script"):
        bootstrap.main([])
    assert (bootstrap.ENV / "precious").exists() and not recorder.pip_calls


def test_constraints_hold_the_installed_torch(bootstrap: ModuleType, recorder: Recorder) -> None:
    bootstrap.main([])
    assert (bootstrap.ENV / "constraints.txt").read_text() == "torch==2.13.0\ntorchvision==0.28.0\n"
    last = recorder.calls_with("-e")[-1]
    assert last[last.index("-c") + 1] == str(bootstrap.ENV / "constraints.txt")


def test_a_wheel_is_compiled_once_for_each_torch(bootstrap: ModuleType, recorder: Recorder, tmp_path: Path) -> None:
    for _ in range(2):
        bootstrap.install_scatter()
    recorder.torch_facts = ["2.13.0+cpu", None, None, False]
    bootstrap.install_scatter()
    assert len(recorder.compiled()) == 2 and len(set(recorder.compiled())) == 2
    assert all(Path(folder).is_relative_to(tmp_path / "cache") for folder in recorder.compiled())
    assert len(recorder.calls_with("--find-links")) == 3


@pytest.mark.parametrize(("facts", "name"), [
    (["2.13.0", None, None, False], "2.13.0+cpu"),
    (["2.13.0+cu126", "12.6", None, True], "2.13.0+cu126"),
    (["2.13.0", "12.6", None, True], "2.13.0+cu126"),
    (["2.13.0a0+git12ab", "13.0", None, True], "2.13.0a0+git12ab.cu130"),
    (["2.13.0+rocm6.4", None, "6.4.43482-0f2d60242", True], "2.13.0+rocm6.4"),
    (["2.13.0+cu126", "12.6", None, False], "2.13.0+cu126-cpu_kernels"),
])
def test_the_name_of_a_torch_build(bootstrap: ModuleType, facts: list, name: str) -> None:
    assert bootstrap.torch_build(*facts) == name


def test_torch_scatter_can_be_left_out(bootstrap, recorder, monkeypatch) -> None:
    monkeypatch.setenv("SCATTER", "0")
    bootstrap.main([])
    assert not recorder.calls_with("torch_scatter==")


def test_a_python_that_is_too_old_is_refused(bootstrap, recorder, monkeypatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"3\.10"):
        bootstrap.main([])
    assert not bootstrap.ENV.exists()


@pytest.mark.parametrize(("version", "extras", "told"), [
    ((3, 12, 1), "dev,extract,laion", False), ((3, 13, 0), "dev,extract,laion", True), ((3, 13, 0), "dev", False),
])
def test_where_laion_clap_has_no_numpy_the_setup_says_that_it_is_left_out(
    bootstrap, recorder, monkeypatch, capsys, version: tuple, extras: str, told: bool
) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", version)
    monkeypatch.setenv("EXTRAS", extras)
    assert bootstrap.main([]) == 0
    assert ("is left out" in capsys.readouterr().out) == told


def test_the_script_runs_on_the_standard_library_alone() -> None:
    run = subprocess.run([sys.executable, "-I", "-S", ROOT / "tools" / "bootstrap.py", "--help"],
                         capture_output=True, text=True, timeout=60)
    assert run.returncode == 0 and "TORCH=cpu" in run.stdout


@pytest.mark.parametrize(("fails_on", "hint"), [("torch==2.13.0", "TORCH"), ("torch_scatter==", "SCATTER=0")])
def test_a_failure_of_pip_prints_its_remedy(bootstrap, recorder, fails_on: str, hint: str) -> None:
    recorder.fails_on = fails_on
    with pytest.raises(SystemExit, match=hint):
        bootstrap.main([])


# --- PyG's prebuilt wheel ------------------------------------------------------------------------

TORCH = "9.9.9+cpu"
LOADS = "class Sums:\n    tolist = lambda self: [2.0, 1.0]\nscatter = lambda *_, **__: Sums()\n"


class Handler(SimpleHTTPRequestHandler):
    """Files of a folder; slow.html takes longer than the probe."""

    def do_GET(self) -> None:
        if "slow" in self.path:
            time.sleep(1.0)
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder behind a local wheel index, which PYG_WHEELS names."""
    folder = tmp_path / "pages"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    server.handle_error = lambda *_: None  # printing that a probe gave up would be in the output of a later test
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("PYG_WHEELS", f"http://127.0.0.1:{server.server_port}")
    yield folder
    server.shutdown()
    server.server_close()


def list_wheel(pages: Path, code: str, tag: str = "") -> None:
    """Write a wheel of one module, and the page of TORCH that lists it."""
    tag = tag or f"cp{sys.version_info[0]}{sys.version_info[1]}"
    name = f"torch_scatter-2.1.2+pt999cpu-{tag}-{tag}-linux_{os.uname().machine}.whl"
    info = "torch_scatter-2.1.2+pt999cpu.dist-info"
    with zipfile.ZipFile(pages / name, "w") as wheel:
        wheel.writestr("torch_scatter/__init__.py", code)
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: torch-scatter\nVersion: 2.1.2+pt999cpu\n")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}-{tag}-linux_x86_64\n")
        wheel.writestr(f"{info}/RECORD", "")
    (pages / f"torch-{TORCH}.html").write_text(f'<a href="{name.replace("+", "%2B")}">{name}</a><br>')


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the wheel of this test is for Linux")
def test_a_prebuilt_wheel_is_installed_and_kept(bootstrap, pages, tmp_path, monkeypatch) -> None:
    """With this Python and its pip, installing into a folder of the test."""
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    for name in ("PIP_TARGET", "PYTHONPATH"):
        monkeypatch.setenv(name, str(tmp_path / "site"))
    list_wheel(pages, LOADS)
    assert bootstrap.fetch_prebuilt(tmp_path, TORCH) == ""
    assert (tmp_path / "site" / "torch_scatter" / "__init__.py").read_text() == LOADS
    assert list(tmp_path.glob("*.whl"))


def test_a_prebuilt_wheel_that_does_not_load_is_removed(bootstrap, pages, tmp_path, monkeypatch) -> None:
    def fail(code: str) -> str:
        raise subprocess.CalledProcessError(1, "python")

    list_wheel(pages, LOADS)
    wheel = tmp_path / "torch_scatter-2.1.2-any.whl"
    monkeypatch.setattr(bootstrap, "pip", lambda *args, **options: wheel.touch())
    monkeypatch.setattr(bootstrap, "ask", fail)
    assert "does not load" in bootstrap.fetch_prebuilt(tmp_path, TORCH)
    assert not wheel.exists()


def test_without_a_wheel_for_this_python_the_reason_is_returned(bootstrap, tmp_path, pages) -> None:
    assert "404" in bootstrap.fetch_prebuilt(tmp_path, TORCH)
    list_wheel(pages, LOADS, tag="cp27")
    assert "lists none for cp3" in bootstrap.fetch_prebuilt(tmp_path, TORCH)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://[", "nothing"])
def test_an_index_that_cannot_be_reached_is_named(bootstrap, tmp_path, monkeypatch, address: str) -> None:
    monkeypatch.setenv("PYG_WHEELS", address)
    assert address in bootstrap.fetch_prebuilt(tmp_path, TORCH)


def test_the_wait_for_a_slow_index_is_bounded(bootstrap, pages, monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "PROBE_SECONDS", 0.2)
    start = time.monotonic()
    _, problem = bootstrap.read_page(f"{os.environ['PYG_WHEELS']}/slow.html")
    assert problem and time.monotonic() - start < 0.9


def test_forced_kernels_are_compiled(bootstrap, recorder, monkeypatch) -> None:
    monkeypatch.setenv("FORCE_ONLY_CPU", "1")
    bootstrap.install_scatter()
    assert len(recorder.compiled()) == 1


# --- During compilation --------------------------------------------------------------------------


@pytest.fixture
def compile_with_tool(
    bootstrap: ModuleType, recorder: Recorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Compile while a script runs."""
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))

    def install(code: str) -> None:
        (tmp_path / "tool.py").write_text(code)
        bootstrap.install_scatter([str(tmp_path / "tool.py"), "word"])

    return install


def test_a_tool_runs_during_compilation_and_its_output_follows(compile_with_tool, recorder, capsys) -> None:
    compile_with_tool("import sys; print('first', *sys.argv[1:])")
    assert "first word\n" in capsys.readouterr().out and len(recorder.compiled()) == 1
    compile_with_tool("print('second')")
    assert "second" not in capsys.readouterr().out  # nothing is compiled, so the tool is not started


def test_a_failure_of_the_tool_fails_the_setup(compile_with_tool, capsys) -> None:
    with pytest.raises(SystemExit, match=r"tool\.py word"):
        compile_with_tool("import sys; print('no room'); sys.exit(5)")
    assert "no room" in capsys.readouterr().out


def test_a_failed_compilation_ends_the_tool(compile_with_tool, recorder) -> None:
    recorder.fails_on = "wheel"
    start = time.monotonic()
    with pytest.raises(SystemExit, match="compiler"):
        compile_with_tool("import time; time.sleep(60)")
    assert time.monotonic() - start < 30
