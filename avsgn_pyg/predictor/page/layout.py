"""The page in Gradio: three tabs, and one queue for the models. Gradio is imported here and nowhere else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from typing import Any, Final

import gradio as gr
import pandas
from fastapi import FastAPI

from avsgn_pyg.common.errors import EXPECTED_ERRORS, PictureError
from avsgn_pyg.predictor.page.actions import Message, Page
from avsgn_pyg.predictor.page.runs import curves, report
from avsgn_pyg.predictor.page.server import make_server

TITLE: Final = "What is heard and seen, and when?"
INTRODUCTION: Final = """# What is heard and seen, and when?
Drop a video. The model marks the seconds in which one event is **both heard and seen**. \
Drag the edges of an event to correct it. Your files stay on the machine that serves this page, and are removed when \
you close it, unless you save them for training."""
#: Options of every action, so that one runs at a time, in order.
QUEUE: Final = {"api_name": False, "concurrency_id": "model", "concurrency_limit": 1, "show_progress": "hidden"}

Action = Callable[..., Iterator[Message]]

logger = logging.getLogger(__name__)


def build(page: Page) -> gr.Blocks:
    """Return the page as Gradio's blocks."""
    def viewer(**options: Any) -> gr.HTML:
        # Gradio allows events by their names in this text.
        script = """avsgnViewer(element, props, watch, trigger); /* "analyse" "graph" "save" "fine_tune" */"""
        made = gr.HTML(page.start_message(**options), html_template=_text("viewer.html"),
                       css_template=_text("viewer.css"), js_on_load=script, apply_default_css=False, padding=False)
        for name in ("analyse", "graph", "save", "fine_tune"):
            getattr(made, name)(_listener(page, getattr(page, name)), None, made, **QUEUE)
        return made

    with gr.Blocks(title=TITLE, analytics_enabled=False) as blocks:
        gr.Markdown(INTRODUCTION)
        with gr.Tabs() as tabs:
            with gr.Tab("Analyse", id="analyse"):
                first = viewer()
            with gr.Tab("Compare", id="compare"):
                viewer(comparing=True)
            if page.runs():
                with gr.Tab("Run", id="run"):
                    _run_tab(page, tabs, first)

        def leave(request: gr.Request) -> None:
            page.uploads.remove_session(request.session_hash)

        blocks.unload(leave)
    return blocks.queue(max_size=32)


def _run_tab(page: Page, tabs: gr.Tabs, viewer: gr.HTML) -> None:
    """Fill the tab of a run: its curves, confusion matrix and hardest clips, which open in the first tab."""
    names = list(page.runs())
    chosen = gr.Dropdown(names, value=names[0], label="Run", interactive=True)
    with gr.Row():
        plots = [gr.LinePlot(x="epoch", y="value", color="name", title=title, x_title="epoch", y_title=title)
                 for title in ("loss", "score on val")]
    script = """element.addEventListener("click", event => {
        const { clip } = event.target.dataset; if (clip) trigger("open", { clip }); });"""
    html = gr.HTML(css_template=_text("run.css"), apply_default_css=False, js_on_load=script)

    def show(name: str) -> list[Any]:
        run, media = page.runs().get(name, page.runs()[names[0]])
        found = pandas.DataFrame(list(curves(run)), columns=["epoch", "name", "value", "kind"])
        parts = [found[found.kind == kind] for kind in ("loss", "score")]
        return [*(gr.LinePlot(part, visible=len(part) > 0) for part in parts), report(run, media)]

    def analyse(event: gr.EventData, name: str, request: gr.Request) -> Iterator[Any]:
        for message in _listener(page, page.analyse_listed)(event, request, name):
            yield gr.Tabs(selected="analyse"), message

    chosen.change(show, chosen, [*plots, html], api_name=False)
    chosen.focus(lambda: gr.Dropdown(list(page.runs())), None, chosen, api_name=False)
    gr.on(None, show, chosen, [*plots, html], api_name=False)
    html.open(analyse, chosen, [tabs, viewer], **QUEUE)


def make_app(page: Page, hosts: Sequence[str]) -> FastAPI:
    """Return the whole page as a server; `hosts` as for :func:`.server.make_server`."""
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    return gr.mount_gradio_app(make_server(page.uploads, hosts), build(page), "/", theme=theme, ssr_mode=False,
                               footer_links=[], head='<script src="page/viewer.js"></script>', show_error=False,
                               pwa=False, mcp_server=False, css="footer { display: none !important }")


def _text(name: str) -> str:
    """Return a file of this package."""
    return resources.files("avsgn_pyg.predictor.page").joinpath(name).read_text("utf-8")


def _listener(page: Page, action: Action) -> Action:
    """Return an action as Gradio's listener; it shows an error as one sentence on the page."""

    def listen(event: gr.EventData, request: gr.Request, *more: Any) -> Iterator[Message]:
        given = event._data if isinstance(event._data, dict) else {}
        try:
            yield from action(given, request.session_hash, *more)
        except (*EXPECTED_ERRORS, PictureError) as error:
            yield page.message("error", text=page.error_text(error, page.uploads.get(given.get("token"))))
        except Exception as error:
            logger.exception("an action of the page failed")
            text = f"This failed on the server ({type(error).__name__}); its terminal shows the reason."
            yield page.message("error", text=text)

    return listen
