"""Fixtures of the browser tests: Debian's Chromium, a real server, people in windows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from heliograph.edge.page import BUILT
from heliograph.settings import Settings
from tests.browser.people import People
from tests.browser.window import launch
from tests.support.server import RunningServer
from tests.support.together import Backing, serve_for_test
from tests.support.upstream import Upstream, running_upstream


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # The browser lives as long as the run, and so does the loop of those who talk to it.
    for item in items:
        if "tests/browser" in str(item.path) and isinstance(item, pytest.Function):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, without a window of its own."""
    assert (BUILT / "index.html").is_file(), "the page is not built: make web"
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def upstream() -> AsyncIterator[Upstream]:
    """A scripted model server; the server of a test that asks for it uses it."""
    async with running_upstream() as running:
        yield running


@pytest.fixture
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Settings of this test's server; it talks to the upstream if the test has one."""
    if "upstream" not in request.fixturenames:
        return settings
    url = request.getfixturevalue("upstream").url
    return settings.model_copy(update={"openai_api_base_url": url})


@pytest_asyncio.fixture(loop_scope="session")
async def server(settings: Settings, backing: Backing | None) -> AsyncIterator[RunningServer]:
    """A running server with an administrator ``root``, or several behind one address."""
    async with serve_for_test(settings, backing) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def people(browser: Browser, server: RunningServer) -> AsyncIterator[People]:
    """Opens windows, each with a person in it."""
    people = People(browser, server.url)
    yield people
    await people.leave()
