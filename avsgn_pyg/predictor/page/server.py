"""The page's own addresses, and the check of every request: only this page is served, to browsers on this machine.

``POST /page/clips`` takes a file, ``GET /page/media/TOKEN`` plays it, ``POST /page/export`` answers with a file of its
events, ``GET /page/viewer.js`` is the script. Gradio's other addresses (files, uploads, proxies) are not reachable.
"""

from __future__ import annotations

import json
import mimetypes
import re
import urllib.parse
from collections.abc import Sequence
from importlib import resources
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avsgn_pyg.common.errors import DataError
from avsgn_pyg.predictor.page.messages import corrected, export
from avsgn_pyg.predictor.page.uploads import Uploads

#: Addresses that are answered; all others are not found.
OPEN: Final = re.compile(r"/(?:page/(?:clips|export|viewer\.js|media/[\w-]+)|config|theme\.css|favicon\.ico|"
                         r"(?:assets|static)/[\w./ -]+|gradio_api/(?:queue/(?:join|data)|heartbeat/\w+|startup-events|"
                         r"cancel|reset|theme\.css|info))?/?")
#: Nothing is fetched from other hosts; Gradio compiles its templates in the browser.
POLICY: Final = ("default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
                 "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'self'; frame-ancestors 'self'; "
                 "form-action 'self'")
HEADERS: Final = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff",
                  "Referrer-Policy": "no-referrer"}
#: Maximum size in bytes of a request that is not an upload.
REQUEST: Final = 4_000_000


def make_server(uploads: Uploads, hosts: Sequence[str]) -> FastAPI:
    """Return a server with the page's own addresses; Gradio's page is mounted on it.

    Args:
        hosts: host names that requests may use, so that a foreign page cannot reach this machine under its own name.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(Guard, hosts=hosts)

    @app.get("/page/viewer.js")
    def script() -> Response:
        text = resources.files("avsgn_pyg.predictor.page").joinpath("viewer.js").read_text("utf-8")
        return Response(text, media_type="text/javascript")

    @app.post("/page/clips")
    async def receive(request: Request, name: str = "clip") -> Response:
        try:
            with uploads.receive(name) as path, path.open("wb") as file:
                size = 0
                async for part in request.stream():
                    size += len(part)
                    if size > uploads.most_bytes:
                        raise DataError(f"This file is larger than {uploads.most_bytes / 1e6:.0f} MB, the limit of "
                                        "this page.")
                    file.write(part)
        except ClientDisconnect:
            return PlainTextResponse("interrupted", 400)
        except (DataError, OSError) as error:
            return PlainTextResponse(str(error) if isinstance(error, DataError) else "The file cannot be stored.", 400)
        return Response(json.dumps({"token": path.parent.name}), media_type="application/json")

    @app.get("/page/media/{token}")
    def media(token: str) -> Response:
        try:
            clip = uploads.find(token)
        except DataError as error:
            return PlainTextResponse(str(error), 404)
        kind = mimetypes.guess_type(clip.path.name)[0] or ""
        kind = kind if kind.startswith(("video/", "audio/")) else "application/octet-stream"
        return FileResponse(clip.path, media_type=kind, headers={"Cache-Control": "no-store"})

    @app.post("/page/export")
    async def download(request: Request) -> Response:
        try:
            given = json.loads(await request.body())
            result = uploads.find(given["token"]).results[given["result"]]
            name, text = export(corrected(result.prediction, given["tau"], given["events"]), given["format"])
        except DataError as error:
            return PlainTextResponse(str(error), 400)
        except (ValueError, KeyError, TypeError):
            return PlainTextResponse("This result is no longer available; analyse the clip again.", 400)
        return Response(text, media_type="application/octet-stream",
                        headers={"X-File-Name": urllib.parse.quote(name)})

    return app


class Guard:
    """Refuses requests that are not the page's own, and keeps browsers from fetching anything from other hosts.

    Args:
        app: handles all other requests.
        hosts: as for :func:`make_server`.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        refusal = _refusal(Request(scope), self._hosts) if scope["type"] == "http" else PlainTextResponse("", 404)

        async def protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await (self._app if refusal is None else refusal)(scope, receive, protected)


def _refusal(request: Request, hosts: Sequence[str]) -> Response | None:
    """Return the refusal of a request that is not the page's own; ``None`` if the request is allowed."""
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    if hosts and host.rpartition(":")[0].strip("[]") not in hosts and host.strip("[]") not in hosts:
        return PlainTextResponse("This server does not have that name.", 421)
    if origin is not None and urllib.parse.urlsplit(origin).netloc != host:
        return PlainTextResponse("Only the page itself may send requests.", 403)
    if not OPEN.fullmatch(request.url.path) or ".." in request.url.path:
        return PlainTextResponse("Not found", 404)
    size = request.headers.get("content-length", "0")
    unknown = not size.isdecimal() or "transfer-encoding" in request.headers
    if request.url.path != "/page/clips" and (unknown or int(size) > REQUEST):
        return PlainTextResponse("Too large", 413)
    return None
