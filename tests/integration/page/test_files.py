"""Files of the page: types, caching, encodings, and what is not served."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.integration.page.conftest import FILES, SCRIPT, WASM

FOREVER = "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("path", "type_", "cache"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/index.html", "text/html; charset=utf-8", "no-cache"),
        ("/frame.html", "text/html; charset=utf-8", "no-cache"),
        ("/favicon.svg", "image/svg+xml", "no-cache"),
        (f"/{SCRIPT}", "text/javascript; charset=utf-8", FOREVER),
        ("/assets/index-Cx81a0Zt.css", "text/css; charset=utf-8", FOREVER),
        ("/assets/inter-B2a9f3Kd.woff2", "font/woff2", FOREVER),
        ("/assets/worker-Aa09f3Kd.mjs", "text/javascript; charset=utf-8", FOREVER),
        (f"/{WASM}", "application/wasm", FOREVER),
        ("/pyodide/0.1.0/python_stdlib.zip", "application/zip", FOREVER),
        ("/pyodide/0.1.0/micropip-1-py3-none-any.whl", "application/zip", FOREVER),
    ],
)
async def test_files_have_their_type_and_life(
    site: httpx.AsyncClient, path: str, type_: str, cache: str
) -> None:
    answer = await site.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == type_
    assert answer.headers["cache-control"] == cache
    assert answer.content == FILES[path.strip("/") or "index.html"]
    opened = answer.headers.get("access-control-allow-origin") == "*"
    assert opened == (cache == FOREVER)
    assert (answer.headers.get("cross-origin-resource-policy") == "cross-origin") == opened


async def test_a_file_that_is_known_is_not_sent_again(site: httpx.AsyncClient) -> None:
    first = await site.get("/")
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        again = await site.get("/", headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        for name in ("etag", "cache-control", "vary", "content-security-policy"):
            assert again.headers[name] == first.headers[name]
    assert (await site.get("/", headers={"if-none-match": '"other"'})).status_code == 200


async def test_a_file_that_was_built_anew_is_sent(site: httpx.AsyncClient, folder: Path) -> None:
    etag = (await site.get("/")).headers["etag"]
    (folder / "index.html").write_bytes(b"<!doctype html><title>Newer</title>")
    answer = await site.get("/", headers={"if-none-match": etag})
    assert answer.status_code == 200
    assert b"Newer" in answer.content


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("br, gzip", "br"),
        ("gzip, deflate, br;q=0.1", "br"),
        ("GZIP", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0.0", None),
        ("*", "br"),
        ("*;q=0", None),
        ("br;q=nonsense", None),
        ("identity", None),
        ("", None),
    ],
)
async def test_the_smallest_form_the_browser_takes_is_sent(
    site: httpx.AsyncClient, accepted: str, encoding: str | None
) -> None:
    asked = site.stream("GET", f"/{SCRIPT}", headers={"accept-encoding": accepted})
    async with asked as answer:
        raw = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert (raw == b"brotli") == (encoding == "br")
    assert (raw == FILES[SCRIPT]) == (encoding is None)
    assert int(answer.headers["content-length"]) == len(raw)


async def test_each_encoding_has_an_etag_of_its_own(site: httpx.AsyncClient) -> None:
    asked = [{"accept-encoding": name} for name in ("br", "gzip", "identity")]
    answers = [await site.head(f"/{SCRIPT}", headers=headers) for headers in asked]
    assert len({answer.headers["etag"] for answer in answers}) == 3


async def test_head_says_what_get_would_and_sends_nothing(site: httpx.AsyncClient) -> None:
    got, head = await site.get(f"/{WASM}"), await site.head(f"/{WASM}")
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "etag", "content-type", "cache-control"):
        assert head.headers[name] == got.headers[name]


async def test_a_part_of_a_file_can_be_asked_for(site: httpx.AsyncClient) -> None:
    answer = await site.get(f"/{WASM}", headers={"range": "bytes=0-3"})
    assert (answer.status_code, answer.content) == (206, b"\0asm")


@pytest.mark.parametrize(
    "path",
    [
        "/assets/missing.js",
        "/assets",
        "/assets/",
        "/pyodide/0.1.0/missing.whl",
        "/pyodide/0.1.0",
        "/assets/.hidden.js",
        "/.env",
        "/assets/out.txt",
        f"/{SCRIPT}.br",
        f"/{SCRIPT}.gz",
        "/assets/%00",
        "/assets//index-Cx81a0Zt.css",
        f"/assets/{'x' * 5_000}",
    ],
)
async def test_what_is_missing_or_hidden_is_an_error_even_for_browsers(
    site: httpx.AsyncClient, path: str
) -> None:
    answer = await site.get(path, headers={"accept": "text/html,*/*;q=0.8"})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found", "code": "not_found"}


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/assets/../../secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%5c..%5csecret.txt",
        "//secret.txt",
    ],
)
async def test_no_path_leads_out_of_the_folder(site: httpx.AsyncClient, path: str) -> None:
    host, port = site.base_url.host, site.base_url.port
    reader, writer = await asyncio.open_connection(host, port)  # clients tidy such paths
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 404 ")
    assert b"secret" not in said
