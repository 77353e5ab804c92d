"""Start the page: load the models, bind an address, and remove the uploaded files when it ends."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Before gradio is imported, so that it makes no network requests.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import uvicorn

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.localizer import ClipLocalizer
from avsgn_pyg.predictor.page.actions import Page
from avsgn_pyg.predictor.page.layout import make_app
from avsgn_pyg.predictor.page.runs import folder_of
from avsgn_pyg.predictor.page.uploads import Uploads
from avsgn_pyg.predictor.predictor import open_predictor


def serve(
    models: Sequence[Path], options: Mapping[str, Any], *, clips: Sequence[Path] = (), host: str = "127.0.0.1",
    port: int = 7860, most_bytes: int = 500_000_000, corrections: Path | None = None,
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the page until it is interrupted, ended or its terminal is closed; call it in the main thread.

    Args:
        models: runs, checkpoints or saved models; none: `options` have the labels of a training-free one.
        options: of :func:`.predictor.open_predictor` for every model.
        clips: examples that every visitor is shown.
        host, port: where to listen; port 0 takes a free one.
        most_bytes: maximum size of an uploaded file.
        corrections: the folder in which corrected clips are kept; used only if `host` is a loopback address.
        ready: is called with the page's address.

    Raises:
        DataError: the port is taken, or this machine has no such address; other errors are the models'.
    """
    _interrupt_on_signals()
    bound = bind(host, port)
    with bound:
        loaded = load_models(models, options)
        uploads, names = Uploads(clips, most_bytes=most_bytes), names_of(host)
        try:
            app = make_app(Page(loaded, uploads, corrections if names else None), names)
            server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
            name, number = bound.getsockname()[:2]
            ready(f"http://{f'[{name}]' if ':' in name else name}:{number}/")
            server.run(sockets=[bound])
        finally:
            uploads.close()


def _interrupt_on_signals() -> None:
    """Let SIGTERM and SIGHUP interrupt as Ctrl-C does: by default they end the process before clips are removed."""
    for number in (getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)):
        signal.signal(number, signal.default_int_handler)


def load_models(models: Sequence[Path], options: Mapping[str, Any]) -> dict[str, ClipLocalizer]:
    """Return the models by the names of their folders, with encoders loaded, so that the first clip takes no longer."""
    found: dict[str, ClipLocalizer] = {}
    for path in models or [None]:
        name = "labels alone" if path is None else folder_of(path.resolve()).name
        while name in found:
            name += "\u2032"
        found[name] = open_predictor(**{**options, "model": path})
        found[name].load()
    return found


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens; DataError if that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise DataError(f"{host}:{port}: the page cannot listen here ({error}); choose another with --port, or with "
                        "--host") from None
    return listener


def names_of(host: str) -> tuple[str, ...]:
    """Return the host names that requests may use: those of this machine, or none if every name is accepted."""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return ("127.0.0.1", "localhost", "::1", host) if local else ()
