"""The page: files that ``make web`` has built, served beside the API.

:class:`Page` answers what no route of the API does. Files under ``assets/`` and ``pyodide/``
have a hash or a version in their path: browsers keep them for a year. Everything else is asked
for again, and answered 304 while it is the same. A file with ``.br`` or ``.gz`` beside it is
sent compressed to browsers that take it.

Guarantees: nothing outside the folder is served, no dotfiles, and an unknown path of the API is
never answered with the page. Files are looked up and read in threads. Limit: a file is looked
up anew for each request; for many users put a cache in front.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

import heliograph
from heliograph.edge.policy import for_every_origin, security_headers

BUILT = Path(heliograph.__file__).parent / "static"
"""Where ``make web`` builds to, and where the package has it."""

INDEX = "index.html"

# Paths that belong to the API: what it does not know is an error, not a place of the page.
_API = ("api", "ws", "docs", "redoc", "openapi.json", "health", "ready", "metrics")

# Not from the system's table, which differs between machines and decides what runs.
_TYPES = {
    ".css": "text/css",
    ".gif": "image/gif",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript",
    ".mp3": "audio/mpeg",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".whl": "application/zip",
    ".woff2": "font/woff2",
    ".zip": "application/zip",
}
# Of a path: no dotfiles and no way up, nothing empty, nothing a file system could read otherwise.
_PART = re.compile(r"[^./\\\x00][^/\\\x00]*")
_ENCODINGS = {"br": ".br", "gzip": ".gz"}  # the smaller first

_NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Heliograph</title>
<p>The page is not built here: <code>make web</code> builds it. The API works, and
<a href="/docs">describes itself</a>.</p>
</html>
"""


@dataclass(frozen=True, slots=True)
class _File:
    """A file to send: ``name`` as it was asked for, ``path`` what is read."""

    name: str
    path: Path
    about: os.stat_result
    encoding: str | None
    etag: str


class Page:
    """The ASGI application of the page.

    :param folder: what was built; it need not exist.
    """

    def __init__(self, folder: Path = BUILT) -> None:
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI.

        :raises HTTPException: 404, there is no such file and it is no place of the page.
        """
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(404)
        response = await self._response(scope, Headers(scope=scope))
        await response(scope, receive, send)

    async def _response(self, scope: Scope, headers: Headers) -> Response:
        name = scope["path"].removeprefix(scope.get("root_path", "")).strip("/") or INDEX
        parts = name.split("/")
        if parts[0] in _API or not all(map(_PART.fullmatch, parts)):
            raise HTTPException(404)
        accepted = _weights(headers.get("accept-encoding", ""))
        found = await asyncio.to_thread(self._find, name, accepted)
        if found is None and name != INDEX:
            if (
                for_every_origin(f"{name}/")
                or _weights(headers.get("accept", "")).get("text/html", 0) <= 0
            ):
                raise HTTPException(404)
            found = await asyncio.to_thread(self._find, INDEX, accepted)
        if found is None:
            return HTMLResponse(_NOT_BUILT, 404, {"Cache-Control": "no-store"})
        told = {
            **security_headers(found.name, scheme=scope["scheme"], host=headers.get("host", "")),
            "Cache-Control": "public, max-age=31536000, immutable"
            if for_every_origin(found.name)
            else "no-cache",
            "ETag": found.etag,
            # Where the page stands for a path, others who ask for it get 404.
            "Vary": "Accept, Accept-Encoding" if found.name == INDEX else "Accept-Encoding",
        }
        if _matches(headers.get("if-none-match", ""), found.etag):
            return Response(status_code=304, headers=told)
        if found.encoding is not None:
            told["Content-Encoding"] = found.encoding
        media_type = _TYPES.get(Path(found.name).suffix, "application/octet-stream")
        return FileResponse(
            found.path, headers=told, media_type=media_type, stat_result=found.about
        )

    def _find(self, name: str, accepted: Mapping[str, float]) -> _File | None:
        """The file of that name, compressed if that is there and accepted. Blocks."""
        if Path(name).suffix in _ENCODINGS.values() and self._regular(name.rpartition(".")[0]):
            return None  # a form of another file
        plain = self._regular(name)
        if plain is None:
            return None
        for encoding, suffix in _ENCODINGS.items():
            if accepted.get(encoding, accepted.get("*", 0)) > 0:
                smaller = self._regular(name + suffix)
                if smaller is not None:
                    return _file(name, *smaller, encoding)
        return _file(name, *plain, None)

    def _regular(self, name: str) -> tuple[Path, os.stat_result] | None:
        try:
            root = self._folder.resolve(strict=True)
            path = (root / name).resolve(strict=True)
            about = path.stat()
        except (OSError, RuntimeError, ValueError):  # missing, a circle of links, no such name
            return None
        if not path.is_relative_to(root) or not stat.S_ISREG(about.st_mode):
            return None
        return path, about


def _file(name: str, path: Path, about: os.stat_result, encoding: str | None) -> _File:
    return _File(name, path, about, encoding, _etag(path, about.st_mtime_ns, about.st_size))


@functools.lru_cache(maxsize=2_048)
def _etag(path: Path, changed_at: int, size: int) -> str:
    """From the content: installations of one version agree, also behind one address."""
    with path.open("rb") as file:
        return f'"{hashlib.file_digest(file, "sha256").hexdigest()[:32]}"'


def _weights(header: str) -> dict[str, float]:
    """``Accept`` or ``Accept-Encoding``: what is named, with its ``q`` (RFC 9110, 12.4.2)."""
    found = {}
    for part in header.lower().split(","):
        value, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if value:
            found[value] = weight
    return found


def _matches(header: str, etag: str) -> bool:
    """``If-None-Match``, compared weakly (RFC 9110, 13.1.2)."""
    given = [part.strip().removeprefix("W/") for part in header.split(",")]
    return etag in given or given == ["*"]
