"""Draws every view of the page, light, dark and on a phone: `make screenshots`.

    python -m tests.browser.screenshots [FOLDER]

The pictures go to FOLDER (build/screenshots unless named). Three of them are in the README:
`--readme` writes those into docs/pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, async_playwright, expect

from heliograph.settings import Settings
from heliograph.store import Database, migrate
from tests.browser import stories
from tests.browser.people import People
from tests.browser.window import Window, launch
from tests.support.server import serve
from tests.support.upstream import Upstream, running_upstream

ROOT = Path(__file__).parents[2]
IN_README = {
    "chat-light.png": "chat.png",
    "channel-dark.png": "channel.png",
    "note-light.png": "note.png",
}

Story = Callable[[People, Upstream], Awaitable[Window]]


@dataclass(frozen=True, slots=True)
class Look:
    """How a view is looked at."""

    name: str
    scheme: Literal["light", "dark"]
    width: int
    height: int


LOOKS = [
    Look("light", "light", 1280, 800),
    Look("dark", "dark", 1280, 800),
    Look("phone", "light", 390, 844),
    Look("phone-dark", "dark", 390, 844),
]


@contextlib.asynccontextmanager
async def _server(upstream: str) -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {
                "port": 0,
                "data_dir": Path(folder),
                "openai_api_base_url": upstream,
                "auth_attempts_per_minute": 1000,
            }
        )
        async with Database(settings.sqlalchemy_url) as database:
            await migrate(database)
        async with serve(settings) as server:
            yield server.url


async def _draw(browser: Browser, name: str, story: Story, folder: Path) -> None:
    async with running_upstream() as upstream:
        upstream.models = {"data": [{"id": "sol", "name": "Sol 1.5"}]}
        async with _server(upstream.url) as url:
            people = People(browser, url)
            window = await story(people, upstream)
            for look in LOOKS:
                await window.page.emulate_media(color_scheme=look.scheme)
                await window.page.set_viewport_size({"width": look.width, "height": look.height})
                await window.page.mouse.move(look.width - 3, look.height - 3)
                # The side bar glides out of the way; the name at a cursor is there for seconds.
                await window.page.evaluate(
                    "Promise.all(document.getAnimations().filter(({ effect }) => "
                    "!effect.pseudoElement && effect.getComputedTiming().iterations === 1)"
                    ".map((animation) => animation.finished))"
                )
                picture = folder / f"{name}-{look.name}.png"
                await window.page.screenshot(path=picture, caret="hide")
                print(picture)
            for other in people.windows:
                other.problems.clear()
            await people.leave()


async def main(folder: Path, only: str) -> None:
    """Draw the stories whose names contain ``only``."""
    expect.set_options(timeout=20_000)
    async with async_playwright() as playwright:
        browser = await launch(playwright)
        for name, story in stories.ALL.items():
            if only in name:
                await _draw(browser, name, story, folder)
        await browser.close()


def _keep(folder: Path) -> None:
    kept = ROOT / "docs" / "pictures"
    kept.mkdir(exist_ok=True)
    for drawn, name in IN_README.items():
        shutil.copy(folder / drawn, kept / name)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="make screenshots")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "screenshots")
    parser.add_argument("--only", default="", help="draw the views whose names contain this")
    parser.add_argument("--readme", action="store_true", help="write docs/pictures as well")
    return parser.parse_args()


if __name__ == "__main__":
    chosen = _arguments()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen.folder, chosen.only))
    if chosen.readme:
        _keep(chosen.folder)
