#!/usr/bin/env python3
"""Set up ``.venv`` for this checkout: torch, torch_scatter compiled against it, the package itself.

    python3 tools/bootstrap.py                        torch as pip finds it (from PyPI on Linux: CUDA)
    TORCH=cpu python3 tools/bootstrap.py              or cu126, cu130, rocm6.4: PyTorch's own index
    EXTRAS=dev python3 tools/bootstrap.py             extras of setup.cfg; default dev,extract (CLIP and CLAP)
    SCATTER=0 python3 tools/bootstrap.py              without torch_scatter; PyG's scatter sums alike

A setting that is not given, or given empty, stays as it was when this .venv was made: a second run does
nothing, and after `make demo TORCH=cu126` a plain `make test` runs on cu126. Another TORCH or TORCH_VERSION
makes .venv anew; remove .venv to be back at the defaults. Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
PYTHON = ENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = ENV / "avsgn_pyg.stamp"
DEFAULTS = {"TORCH": "", "TORCH_VERSION": "2.13.0", "EXTRAS": "dev,extract", "SCATTER": "1"}
TORCHVISION = {"2.13.0": "0.28.0", "2.12.0": "0.27.0"}  # the only pair; any other swaps torch itself
TORCH_SCATTER = "torch_scatter==2.1.2"
SETUPTOOLS = "setuptools>=77"


def main(arguments: list[str] | None = None) -> int:
    shape = argparse.RawDescriptionHelpFormatter
    argparse.ArgumentParser(description=__doc__, formatter_class=shape).parse_args(arguments)
    if not (3, 10) <= sys.version_info[:2] < (3, 13):
        sys.exit(f"Python 3.10 to 3.12 is needed (laion_clap pins numpy<2); this is {sys.version.split()[0]}")
    chosen = settings()
    build, version, extras, scatter_wanted = chosen.values()
    # A change of one of these cannot be made in place: pip takes 2.13.0+cpu for torch==2.13.0.
    ground = f"{sysconfig.get_platform()} python {python_tag()} torch {version} {build}".strip()
    record = "".join(f"{name}={value}\n" for name, value in chosen.items())
    sources = ((ROOT / "setup.cfg").read_text(), Path(__file__).read_text())
    stamp = f"{ground}\n{record}{hashlib.sha256(repr(sources).encode()).hexdigest()}\n"
    if PYTHON.exists() and STAMP.exists() and STAMP.read_text() == stamp:
        return 0
    print(f"Setting up {ENV} (once)", flush=True)
    make_env(ground, record)
    step(f"torch {version} {build}".strip(), lambda: install_torch(version, build, extras),
         hint="TORCH and TORCH_VERSION stay as last given; give others, or remove .venv for the defaults")
    constraints = write_constraints(version)
    scatter = ("--find-links", build_scatter(), TORCH_SCATTER) if scatter_wanted != "0" else ()
    step(f"avsgn_pyg[{extras}]",
         lambda: pip("install", "-c", constraints, *scatter, "-e", f"{ROOT}[{extras}]"))
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
    pair = [f"torchvision=={TORCHVISION[version]}"] if "extract" in extras and version in TORCHVISION else []
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


def build_scatter() -> Path:
    """Compile torch_scatter once for this torch, Python and machine; the wheel is kept for the next checkout.

    The folder carries all three because pip's own cache does not, and would serve a wheel that was compiled
    against another torch.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    torch = torch_build(*json.loads(ask(ASK_TORCH)))
    folder = home / "avsgn_pyg" / f"{torch}-{python_tag()}-{sysconfig.get_platform()}"
    if any(folder.glob("torch_scatter-*.whl")):
        return folder
    folder.mkdir(parents=True, exist_ok=True)

    def compile_wheel() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            config = Path(scratch) / "build.cfg"
            config.write_text(f"[build_ext]\nparallel = {max(1, min(4, os.cpu_count() or 1))}\n")
            flags = os.environ.get("CFLAGS", "") + " -g0"
            pip("wheel", "--no-build-isolation", "--no-cache-dir", "--no-deps", "-w", folder, TORCH_SCATTER,
                env={**os.environ, "DIST_EXTRA_CONFIG": str(config), "CFLAGS": flags})

    step("compile torch_scatter (about 6 CPU minutes, once for this torch)", compile_wheel,
         hint="it needs a C++ compiler; FORCE_ONLY_CPU=1 leaves out its CUDA kernels, SCATTER=0 all of it")
    return folder


def python_tag() -> str:
    return f"cp{sys.version_info[0]}{sys.version_info[1]}"


def ask(code: str) -> str:
    """What the new environment's Python prints."""
    return subprocess.run([PYTHON, "-c", code], check=True, text=True, capture_output=True).stdout.strip()


def pip(*args: object, **options: object) -> None:
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "-qq", *map(str, args)]
    subprocess.run(command, check=True, **options)


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
