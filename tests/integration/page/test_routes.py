"""Which paths are the page's: its router's places, the API's errors, a page that is not built."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import socketio

from heliograph.edge import Page
from heliograph.settings import Settings
from tests.integration.page.conftest import FILES
from tests.support.server import serve

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/chats/c1", "/notes/", "/apis", "/docsfoo", "/a.b/c.d"])
async def test_a_place_of_the_page_is_answered_with_its_index(
    site: httpx.AsyncClient, path: str
) -> None:
    answer = await site.get(path, headers=BROWSER)
    assert (answer.status_code, answer.content) == (200, FILES["index.html"])
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert (await site.head(path, headers=BROWSER)).status_code == 200


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html;q=0"])
async def test_programs_are_told_that_there_is_no_such_path(
    site: httpx.AsyncClient, accept: str
) -> None:
    answer = await site.get("/chats/c1", headers={"accept": accept})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Not Found", "code": "not_found"}


@pytest.mark.parametrize(
    "path", ["/api/none", "/api", "/ws", "/ws/none", "/docs/none", "/metrics", "/health/none"]
)
async def test_an_unknown_path_of_the_api_is_never_the_page(
    site: httpx.AsyncClient, path: str
) -> None:
    answer = await site.get(path, headers=BROWSER)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_the_api_is_as_it_was(site: httpx.AsyncClient) -> None:
    assert (await site.get("/health", headers=BROWSER)).json() == {"status": True}
    wrong = await site.get("/api/v1/auths/signup", headers=BROWSER)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    posted = await site.post("/", headers=BROWSER)
    assert (posted.status_code, posted.json()["code"]) == (404, "not_found")


async def test_a_websocket_elsewhere_is_refused(site: httpx.AsyncClient) -> None:
    client = socketio.AsyncClient(reconnection=False)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(str(site.base_url), socketio_path="/other", transports=["websocket"])


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_the_description_needs_nothing_from_elsewhere(
    site: httpx.AsyncClient, path: str
) -> None:
    page = (await site.get(path)).text
    assert "//cdn." not in page
    assert "/docs/static/" in page
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
        assert (await site.head(f"/docs/static/{name}")).status_code == 200


@pytest.mark.parametrize("exists", [False, True])
async def test_without_a_page_people_are_told_how_to_build_it(
    settings: Settings, tmp_path: Path, exists: bool
) -> None:
    folder = tmp_path / "nothing"
    if exists:
        folder.mkdir()
    async with (
        serve(settings, Page(folder)) as server,
        httpx.AsyncClient(base_url=server.url, verify=False) as client,
    ):
        for path, headers in (("/", {}), ("/chats/c1", BROWSER)):
            answer = await client.get(path, headers=headers)
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "make web" in answer.text
        for path in ("/chats/c1", "/assets/index.js"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await client.get("/health")).json() == {"status": True}
