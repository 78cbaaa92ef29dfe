"""Who takes part in a browser test: each in a browser context, as on a machine of their own."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from playwright.async_api import Browser, BrowserContext

from tests.browser.window import Window


class People:
    """Opens windows and closes them; a window that complained fails the test."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []
        self._numbers = itertools.count(1)
        self.windows: list[Window] = []

    async def join(self, name: str = "", **options: Any) -> Window:
        """Somebody signs up in a window of their own.

        :param options: of the browser context, e.g. ``viewport``.
        """
        window = await self.window(name or f"Person {next(self._numbers)}", **options)
        first = "".join(filter(str.isalnum, window.name.split()[0])) or "somebody"
        await window.sign_up(f"{first.lower()}.{uuid.uuid4().hex[:8]}@example.org")
        return window

    async def window(self, name: str, **options: Any) -> Window:
        """An empty window."""
        options = {"viewport": {"width": 1280, "height": 800}, **options}
        context = await self._browser.new_context(base_url=self._url, **options)
        self._contexts.append(context)
        return await self._open(context, name)

    async def second_window(self, of: Window) -> Window:
        """Another window of the same person in the same browser, at the same place."""
        window = await self._open(of.context, of.name)
        await window.page.goto(of.page.url)
        await window.connected()
        return window

    async def _open(self, context: BrowserContext, name: str) -> Window:
        window = Window(context, await context.new_page(), name)
        self.windows.append(window)
        return window

    async def leave(self) -> None:
        """Close everything.

        :raises AssertionError: a window complained.
        """
        for context in self._contexts:
            await context.close()
        problems = [f"{w.name}: {problem}" for w in self.windows for problem in w.problems]
        assert not problems, "\n".join(problems)
