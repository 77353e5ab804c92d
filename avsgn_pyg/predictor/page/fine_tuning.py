"""Continue the training of a model with corrected clips, in a separate process, as ``tools/train.py`` would."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Final

from avsgn_pyg.common.command_line import python
from avsgn_pyg.common.errors import TrainingError
from avsgn_pyg.engine.files import CONFIG
from avsgn_pyg.predictor.predictor import Predictor

#: What the process runs; its arguments are a config file and settings.
PROGRAM: Final = ("import sys; from avsgn_pyg import load_config, train; "
                  "train(load_config(sys.argv[1], sys.argv[2:]), progress=False)")


def command(model: Predictor, name: str, settings: Sequence[str]) -> str:
    """Return the command that does the same as :func:`fine_tune`."""
    return shlex.join([python(), "tools/train.py", *_arguments(model, name, settings)])


def fine_tune(model: Predictor, name: str, settings: Sequence[str]) -> Iterator[float]:
    """Train a run `name` from the model's weights and config; yield the share that is done.

    TrainingError with the last line that the process printed if it fails.
    """
    folder, epochs = model.config.run_dir / name, int(dict(each.split("=", 1) for each in settings)["train.epochs"])
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, *_arguments(model, name, settings)], stdout=output,
                                   stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                journal = folder / "journal.jsonl"
                done = len(journal.read_text("utf-8").splitlines()) if journal.is_file() else 0
                yield (done + 0.5) / (epochs + 1)
                time.sleep(0.5)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        output.seek(0)
        last = output.read().strip().splitlines()[-1:]
    if process.returncode:
        raise TrainingError(f"{name}: training failed: {' '.join(last) or process.returncode}")


def _arguments(model: Predictor, name: str, settings: Sequence[str]) -> list[str]:
    return [str(model.checkpoint.path / CONFIG), f"name={name}", *settings]
