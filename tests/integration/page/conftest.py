"""Fixtures of the page's tests: a folder as the build leaves it, a server in front of it."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from heliograph.edge import Page
from heliograph.settings import Settings
from tests.support.server import serve

SCRIPT = "assets/index-Dk3f9aQ2.js"
WASM = "pyodide/0.1.0/pyodide.asm.wasm"
FILES = {
    "index.html": b"<!doctype html><title>Heliograph</title>",
    "frame.html": b"<!doctype html><title>Frame</title>",
    "python.html": b"<!doctype html><title>Python</title>",
    "favicon.svg": b"<svg/>",
    SCRIPT: b"export const answer = 42;\n" * 50,
    "assets/index-Cx81a0Zt.css": b"a{}",
    "assets/inter-B2a9f3Kd.woff2": b"wOF2",
    "assets/worker-Aa09f3Kd.mjs": b"export {};",
    WASM: b"\0asm" * 50_000,
    "pyodide/0.1.0/python_stdlib.zip": b"PK",
    "pyodide/0.1.0/micropip-1-py3-none-any.whl": b"PK",
    ".env": b"hidden",
    "assets/.hidden.js": b"hidden",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a build leaves, beside a file that is nobody's business."""
    (tmp_path / "secret.txt").write_text("secret")
    built = tmp_path / "static"
    for name, content in FILES.items():
        path = built / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (built / f"{SCRIPT}.gz").write_bytes(gzip.compress(FILES[SCRIPT]))
    (built / f"{SCRIPT}.br").write_bytes(b"brotli")
    (built / "index.html.gz").write_bytes(gzip.compress(FILES["index.html"]))
    (built / "assets" / "out.txt").symlink_to(tmp_path / "secret.txt")
    return built


@pytest.fixture
async def site(settings: Settings, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server with that page; it says nothing of its own about encodings."""
    async with (
        serve(settings, Page(folder)) as server,
        httpx.AsyncClient(base_url=server.url, verify=False) as client,
    ):
        client.headers["accept-encoding"] = "identity"
        yield client
