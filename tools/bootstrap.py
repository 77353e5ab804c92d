#!/usr/bin/env python3
"""Set up ``.venv`` for this checkout: torch, the package itself, and torch_scatter for that torch.

    python3 tools/bootstrap.py                        torch as pip finds it (from PyPI on Linux: CUDA)
    TORCH=cpu python3 tools/bootstrap.py              or cu126, cu130, rocm6.4: PyTorch's own index
    EXTRAS=dev python3 tools/bootstrap.py             extras of setup.cfg; default dev,extract,laion,page
    python3 tools/bootstrap.py --with page            adds an extra to those that this .venv was made with
    SCATTER=0 python3 tools/bootstrap.py              without torch_scatter; PyG's scatter sums alike
    python3 tools/bootstrap.py --meanwhile tools/make_scenes.py runs/scenes --quiet
                                                      runs this tool while torch_scatter is compiled, if it is

torch_scatter is PyG's prebuilt wheel if there is one for this torch, and is compiled otherwise; either is kept
in ~/.cache/avsgn_pyg. PYG_WHEELS names another folder of wheel pages.

A setting that is not given, or given empty, stays as it was when this .venv was made: a second run does
nothing, and after `make demo TORCH=cu126` a plain `make test` runs on cu126. Another TORCH or TORCH_VERSION
makes .venv anew; remove .venv to be back at the defaults. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
PYTHON = ENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = ENV / "avsgn_pyg.stamp"
DEFAULTS = {"TORCH": "", "TORCH_VERSION": "2.13.0", "EXTRAS": "dev,extract,laion,page", "SCATTER": "1"}
TORCHVISION = {"2.13.0": "0.28.0", "2.12.0": "0.27.0"}  # the only pair; any other swaps torch itself
TORCH_SCATTER = "torch_scatter==2.1.2"
SETUPTOOLS = "setuptools>=77"
#: PyG's own wheels, one page for each torch, such as torch-2.8.0+cpu.html.
PYG_WHEELS = "https://data.pyg.org/whl"
PROBE_SECONDS, DOWNLOAD_SECONDS = 2.0, 120.0
#: What torch_scatter compiles for the CPU, and seconds between two lines about it where there is no terminal.
SOURCES, EVERY = 7, 30.0


def main(arguments: list[str] | None = None) -> int:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--with", dest="extra", metavar="EXTRA", help="also install this extra of setup.cfg")
    parser.add_argument("--meanwhile", nargs=argparse.REMAINDER, default=[], metavar="TOOL",
                        help="run this tool, with all arguments after it, while torch_scatter is compiled")
    options = parser.parse_args(arguments)
    if sys.version_info[:2] < (3, 10):  # noqa: UP036
        sys.exit(f"Python 3.10 or later is needed; this is {sys.version.split()[0]}")
    chosen = settings()
    if options.extra and options.extra not in chosen["EXTRAS"].split(","):
        chosen["EXTRAS"] += f",{options.extra}"
    build, version, extras, scatter_wanted = chosen.values()
    # A change of one of these cannot be made in place: pip takes 2.13.0+cpu for torch==2.13.0.
    ground = f"{sysconfig.get_platform()} python {python_tag()} torch {version} {build}".strip()
    record = "".join(f"{name}={value}\n" for name, value in chosen.items())
    sources = ((ROOT / "setup.cfg").read_text(), Path(__file__).read_text())
    stamp = f"{ground}\n{record}{hashlib.sha256(repr(sources).encode()).hexdigest()}\n"
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp:
        return 0
    print(f"Setting up {ENV} (once)", flush=True)
    if "laion" in extras.split(",") and sys.version_info[:2] >= (3, 13):
        print("  laion_clap, so the encoder clap, is left out: it needs numpy<2, and Python 3.10 to 3.12", flush=True)
    make_env(ground, record)
    step(f"torch {version} {build}".strip(), lambda: install_torch(version, build, extras),
         hint="TORCH and TORCH_VERSION stay as last given; give others, or remove .venv for the defaults")
    constraints = write_constraints(version)
    step(f"avsgn_pyg[{extras}]", lambda: pip("install", "-c", constraints, "-e", f"{ROOT}[{extras}]"))
    if scatter_wanted != "0":
        install_scatter(options.meanwhile)
    STAMP.write_text(stamp)
    return 0


def settings() -> dict[str, str]:
    """Each of DEFAULTS by name: as given, else as this ``.venv`` was made, else the default.

    Empty counts as not given: make exports TORCH whether or not somebody set it.
    """
    lines = STAMP.read_text().splitlines() if STAMP.exists() else []
    made = dict(line.split("=", 1) for line in lines if "=" in line)
    return {name: os.environ.get(name) or made.get(name, default) for name, default in DEFAULTS.items()}


def make_env(ground: str, record: str) -> None:
    """Create ``.venv``, anew where it stands on another Python or torch; never touch one made by others."""
    if ENV.exists() and not STAMP.exists():
        sys.exit(f"{ENV} was not made by this script; move it away and run again")
    if not (PYTHON.exists() and STAMP.read_text().splitlines()[:1] == [ground]):
        if ENV.exists():
            shutil.rmtree(ENV)
        ENV.mkdir()
        STAMP.write_text("\n" + record)  # no ground yet: a venv that is only half there is made anew
        step("create .venv", lambda: venv.create(ENV, with_pip=True, symlinks=os.name != "nt"),
             hint="on Debian and Ubuntu: apt install python3-venv")
    STAMP.write_text(f"{ground}\n{record}")


def install_torch(version: str, build: str, extras: str) -> None:
    """`build` names a folder of PyTorch's own index; empty takes what pip's configured index serves."""
    index = ["--index-url", f"https://download.pytorch.org/whl/{build}"] if build else []
    encoders = {"extract", "laion"} & {*extras.split(",")}
    pair = [f"torchvision=={TORCHVISION[version]}"] if encoders and version in TORCHVISION else []
    pip("install", *index, f"torch=={version}", *pair)
    pip("install", SETUPTOOLS, "wheel")


def write_constraints(version: str) -> Path:
    """Keep every later install from replacing torch, or pairing it with another torchvision.

    The version is the one pip knows: PyPI's wheel is 2.13.0 to pip and 2.13.0+cu130 to itself.
    """
    lines = ["torch==" + ask("from importlib.metadata import version; print(version('torch'))")]
    if version in TORCHVISION:
        lines.append(f"torchvision=={TORCHVISION[version]}")
    path = ENV / "constraints.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


#: What torch says of itself, and whether torch_scatter's setup.py would compile CUDA or ROCm kernels here.
ASK_TORCH = """
import json, os, torch
from torch.utils.cpp_extension import CUDA_HOME
forced = {name for name in ("FORCE_ONLY_CPU", "FORCE_CUDA", "FORCE_ONLY_CUDA") if os.environ.get(name) == "1"}
found = torch.cuda.is_available() and bool(CUDA_HOME or torch.version.hip)
kernels = "FORCE_ONLY_CPU" not in forced and (found or bool(forced))
print(json.dumps([torch.__version__, torch.version.cuda, torch.version.hip, kernels]))
"""


def torch_build(version: str, cuda: str | None, hip: str | None, kernels: bool) -> str:
    """Name what a wheel is compiled against: 2.13.0+cpu, 2.13.0+cu126, or 2.13.0+cu126-cpu_kernels.

    A version need not tell (a build from source has none of it, nor has macOS), so CUDA or ROCm is asked for;
    and against a CUDA build, setup.py leaves its kernels out where it sees no compiler or no device for them.
    """
    flavour = "cpu"
    if cuda:
        flavour = f"cu{cuda.replace('.', '')}"
    elif hip:
        flavour = "rocm" + ".".join(hip.split(".")[:2])
    if not version.endswith((f"+{flavour}", f".{flavour}")):
        version += ("." if "+" in version else "+") + flavour
    return version if kernels or flavour == "cpu" else f"{version}-cpu_kernels"


def install_scatter(meanwhile: Sequence[str] = ()) -> None:
    """Install torch_scatter: the wheel kept for this torch, Python and machine, else PyG's own, else a compiled one.

    The folder's name carries all three because pip's own cache does not, and would serve a wheel that was compiled
    against another torch.

    Args:
        meanwhile: a tool and its arguments, to run while torch_scatter is compiled.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    told = json.loads(ask(ASK_TORCH))
    folder = home / "avsgn_pyg" / f"{torch_build(*told)}-{python_tag()}-{sysconfig.get_platform()}"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.glob(WHEEL)):
        problem = fetch_prebuilt(folder, torch_build(*told[:3], kernels=True))
        if not problem:
            return print("  torch_scatter: PyG's prebuilt wheel", flush=True)
        print(f"  no prebuilt torch_scatter ({problem}): compiling it", flush=True)
        with running(meanwhile):
            compile_scatter(folder, cpu_alone=not told[-1])
    step("torch_scatter", lambda: install_wheel(folder))


WHEEL = f"{TORCH_SCATTER.replace('==', '-')}*.whl"
FORCED = ("FORCE_ONLY_CPU", "FORCE_CUDA", "FORCE_ONLY_CUDA")
#: Whether the installed torch_scatter loads and adds up.
TRY_SCATTER = """
import torch, torch_scatter
found = torch_scatter.scatter(torch.ones(3), torch.tensor([0, 1, 0]), reduce="sum").tolist()
raise SystemExit(found != [2.0, 1.0])
"""


def install_wheel(folder: Path) -> None:
    pip("install", "--no-deps", "--no-index", "--find-links", folder, TORCH_SCATTER)


def fetch_prebuilt(folder: Path, torch: str) -> str:
    """Put PyG's wheel for `torch` into `folder` and install it; why that cannot be, in a few words, or nothing.

    Nothing here stops the set-up: a page that is missing or slow and a wheel that does not load are reasons to compile.
    """
    if any(os.environ.get(name) == "1" for name in FORCED):
        return "kernels are chosen by FORCE_..."
    page = f"{os.environ.get('PYG_WHEELS') or PYG_WHEELS}/torch-{urllib.parse.quote(torch)}.html"
    text, problem = read_page(page)
    if problem:
        return problem
    listed = re.findall(r"torch_scatter-[^\"<>/]*?\.whl", urllib.parse.unquote(text))
    if not any(f"-{python_tag()}-" in name for name in listed):
        return f"{page} lists none for {python_tag()}"
    try:
        pip("download", "--no-deps", "--no-index", "--only-binary", ":all:", "--find-links", page, "-d", folder,
            TORCH_SCATTER, quiet=True, timeout=DOWNLOAD_SECONDS)
        install_wheel(folder)
        ask(TRY_SCATTER)
    except (subprocess.SubprocessError, OSError):
        loaded = any(folder.glob(WHEEL))
        for wheel in folder.glob(WHEEL):
            wheel.unlink()
        return f"the wheel of {page} does not load here" if loaded else f"{page} has none for this machine"
    return ""


def read_page(address: str) -> tuple[str, str]:
    """A page's text, or why there is none, within PROBE_SECONDS in all: a name server may hang for longer."""
    found = []

    def read() -> None:
        try:
            with urllib.request.urlopen(address, timeout=PROBE_SECONDS) as answer:
                found.append((answer.read().decode("utf-8", "replace"), ""))
        except urllib.error.HTTPError as error:
            found.append(("", f"{address}: {error.code} {error.reason}"))
        except Exception as error:  # whatever is odd about a network, a page or an address
            found.append(("", f"{address}: {getattr(error, 'reason', error)}"))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(PROBE_SECONDS)
    return found[0] if found else ("", f"{address}: no answer within {PROBE_SECONDS:g} s")


def compile_scatter(folder: Path, *, cpu_alone: bool) -> None:
    """Compile torch_scatter against the installed torch; the wheel is kept in `folder` for the next checkout."""

    def compile_wheel() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            config = Path(scratch) / "build.cfg"
            config.write_text(f"[build_ext]\nparallel = {max(1, min(4, os.cpu_count() or 1))}\n")
            flags = os.environ.get("CFLAGS", "") + " -g0"
            # pip unpacks and compiles below TMPDIR, where the finished objects can be counted.
            build = {**os.environ, "DIST_EXTRA_CONFIG": str(config), "CFLAGS": flags, "TMPDIR": scratch}
            pip("wheel", "--no-build-isolation", "--no-cache-dir", "--no-deps", "-w", folder, TORCH_SCATTER, env=build,
                watch=Progress(Path(scratch), f" of {SOURCES}" if cpu_alone else ""))

    step("compile torch_scatter (about 6 CPU minutes, once for this torch)", compile_wheel,
         hint="it needs a C++ compiler; FORCE_ONLY_CPU=1 leaves out its CUDA kernels, SCATTER=0 all of it")


class Progress:
    """Says how far a compilation is: one line that is written over on a terminal, else a line now and then."""

    def __init__(self, folder: Path, total: str) -> None:
        self.folder, self.total, self.start, self.told = folder, total, time.time(), time.time()

    def __call__(self) -> None:
        now, terminal = time.time(), sys.stdout.isatty()
        if not terminal and now - self.told < EVERY:
            return
        self.told = now
        done = sum(1 for _ in self.folder.rglob("*.o"))
        line = f"  compile torch_scatter: {done}{self.total} sources, {now - self.start:.0f} s"
        print(f"\r{line}" if terminal else line, end="" if terminal else "\n", flush=True)

    def close(self) -> None:
        if sys.stdout.isatty():
            print()


@contextmanager
def running(words: Sequence[str]) -> Iterator[None]:
    """Run a tool in the new environment meanwhile; its output follows at the end, and its failure is the set-up's."""
    if not words:
        yield
        return
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([PYTHON, *words], cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield
            status = process.wait()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
                process.wait()
        output.seek(0)
        print(output.read(), end="", flush=True)
    if status:
        sys.exit(f"  {' '.join(words)}: failed with exit status {status}; the reason stands above")


def python_tag() -> str:
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def ask(code: str) -> str:
    """What the new environment's Python prints."""
    return subprocess.run([PYTHON, "-c", code], check=True, text=True, capture_output=True).stdout.strip()


def pip(
    *args: object, watch: Progress | None = None, quiet: bool = False, timeout: float | None = None, **options: object
) -> None:
    """Run the new environment's pip; `watch` is called every second meanwhile, `quiet` drops what pip says.

    Raises:
        subprocess.SubprocessError: pip failed, or took longer than `timeout` seconds.
    """
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "-qq", *map(str, args)]
    if watch is None:
        silence = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} if quiet else {}
        subprocess.run(command, check=True, timeout=timeout, **silence, **options)
        return
    with subprocess.Popen(command, **options) as process:
        while process.poll() is None:
            try:
                process.wait(1.0)
            except subprocess.TimeoutExpired:
                watch()
    watch.close()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def step(what: str, work: Callable[[], object], hint: str = "") -> None:
    start = time.time()
    print(f"  {what} ...", flush=True)
    try:
        work()
    except subprocess.CalledProcessError as error:
        stands = f"  {what}: failed with exit status {error.returncode}; the reason stands above"
        sys.exit(f"{stands}\n  {hint}" if hint else stands)
    print(f"  {what}: {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
