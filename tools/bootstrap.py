#!/usr/bin/env python3
"""Set up ``.venv`` for this checkout: torch, torch_scatter built against it, the package itself.

    python3 tools/bootstrap.py                  # torch as pip finds it (CUDA on Linux from PyPI)
    TORCH=cpu python3 tools/bootstrap.py        # or cu126, cu130, rocm6.4: PyTorch's own index
    EXTRAS=dev,extract python3 tools/bootstrap.py

Standard library only. A second run with the same settings does nothing.
"""
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENV = ROOT / ".venv"
PYTHON = ENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = ENV / "avsgn_pyg.stamp"
TORCH = os.environ.get("TORCH_VERSION", "2.13.0")
TORCHVISION = {"2.13.0": "0.28.0", "2.12.0": "0.27.0"}.get(TORCH)  # the only pair; another swaps torch itself
SCATTER = "torch_scatter==2.1.2"
SETUPTOOLS = "setuptools>=77"


def main() -> int:
    build, extras = os.environ.get("TORCH", ""), os.environ.get("EXTRAS", "dev")
    if not (3, 10) <= sys.version_info[:2] < (3, 13):
        sys.exit(f"Python 3.10 to 3.12 is needed (laion_clap pins numpy<2); this is {sys.version.split()[0]}")
    settings = (TORCH, build, extras, SCATTER, (ROOT / "setup.cfg").read_text(), Path(__file__).read_text())
    stamp = hashlib.sha256(repr(settings).encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == stamp:
        return 0
    print(f"Setting up {ENV} (once; torch_scatter is compiled, so allow 5 to 20 minutes on two cores)")
    if not PYTHON.exists():
        step("create .venv", lambda: venv.create(ENV, with_pip=True))
    step(f"torch {TORCH}{' ' + build if build else ''}", lambda: install_torch(build))
    constraints = write_constraints()
    wheels = build_scatter()
    step(f"avsgn_pyg[{extras}]", lambda: pip(
        "install", "-c", constraints, "--find-links", wheels, SCATTER, "-e", f"{ROOT}[{extras}]"))
    STAMP.write_text(stamp)
    return 0


def install_torch(build: str) -> None:
    """`build` names a folder of PyTorch's own index; empty takes what pip's configured index serves."""
    index = ["--index-url", f"https://download.pytorch.org/whl/{build}"] if build else []
    pip("install", *index, f"torch=={TORCH}")
    pip("install", SETUPTOOLS, "wheel")


def write_constraints() -> Path:
    """Keep every later install from replacing torch, or pairing it with another torchvision."""
    path = ENV / "constraints.txt"
    lines = [f"torch=={torch_version()}"]
    if TORCHVISION:
        lines.append(f"torchvision=={TORCHVISION}")
    path.write_text("\n".join(lines) + "\n")
    return path


def build_scatter() -> Path:
    """Compile torch_scatter once for this torch and Python; the wheel is kept for the next checkout.

    The folder carries both versions because pip's own cache does not, and would serve a wheel
    that was compiled against another torch.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = home / "avsgn_pyg" / f"{torch_version()}-cp{sys.version_info[0]}{sys.version_info[1]}"
    if any(folder.glob("torch_scatter-*.whl")):
        return folder
    folder.mkdir(parents=True, exist_ok=True)

    def compile_wheel() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            config = Path(scratch) / "build.cfg"
            config.write_text(f"[build_ext]\nparallel = {max(1, min(4, os.cpu_count() or 1))}\n")
            flags = os.environ.get("CFLAGS", "") + " -g0"
            pip("wheel", "--no-build-isolation", "--no-cache-dir", "--no-deps", "-w", folder, SCATTER,
                env={**os.environ, "DIST_EXTRA_CONFIG": str(config), "CFLAGS": flags})

    step("compile torch_scatter against this torch (the long part; needs a C++ compiler)", compile_wheel)
    return folder


def torch_version() -> str:
    answer = subprocess.run([PYTHON, "-c", "import torch; print(torch.__version__)"],
                            check=True, text=True, capture_output=True)
    return answer.stdout.strip()


def pip(*args: object, **options: object) -> None:
    command = [PYTHON, "-m", "pip", "--disable-pip-version-check", "-q", *map(str, args)]
    subprocess.run(command, check=True, **options)


def step(what: str, work: Callable[[], object]) -> None:
    start = time.time()
    print(f"  {what} ...", flush=True)
    try:
        work()
    except subprocess.CalledProcessError as error:
        sys.exit(f"  {what}: failed (pip's own words stand above; exit status {error.returncode})")
    print(f"  {what}: {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main())
