"""Everybody can use the page: axe finds nothing, the keyboard reaches everything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser import stories
from tests.browser.people import People
from tests.browser.window import Window
from tests.support.upstream import Upstream

AXE = Path(__file__).parents[2] / "app" / "web" / "node_modules" / "axe-core" / "axe.min.js"

# Resolves when what was changed has been drawn.
_DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


async def _faults(window: Window) -> list[str]:
    await window.page.evaluate(AXE.read_text())
    await window.page.evaluate(_DRAWN)
    found: dict[str, Any] = await window.page.evaluate("() => axe.run()")
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:200]} {json.dumps(node['any'][:1])[:300]}"
        for fault in found["violations"]
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("name", stories.ALL)
async def test_axe_finds_nothing_in_light_and_dark_and_on_a_phone(
    people: People, upstream: Upstream, name: str
) -> None:
    window = await stories.ALL[name](people, upstream)
    faults = []
    for scheme in ("light", "dark"):
        await window.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        faults += [f"{scheme}: {fault}" for fault in await _faults(window)]
    await window.page.set_viewport_size({"width": 390, "height": 844})
    faults += [f"phone: {fault}" for fault in await _faults(window)]
    wide = await window.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= 390, "nothing is wider than the phone"
    for each in people.windows:
        each.problems[:] = [p for p in each.problems if "Content Security Policy" not in p]
    assert not faults, "\n".join(faults)


async def test_the_keyboard_alone_is_enough_for_a_chat(people: People) -> None:
    ann = await people.join("Ann")
    keyboard = ann.page.keyboard
    await expect(ann.field("Message")).to_be_focused()
    await expect(ann.button("Send")).to_be_visible()
    await keyboard.type("By hand")
    await expect(ann.button("Send")).to_be_enabled()
    await keyboard.press("Enter")
    await ann.answered("By hand")
    await keyboard.press("Shift+Tab")
    await expect(ann.button("Regenerate")).to_be_focused()
    await keyboard.press("Enter")
    await expect(ann.answers.last).to_contain_text("2 / 2")
    await ann.link("Skip to the content").focus()
    await expect(ann.link("Skip to the content")).to_be_in_viewport()
    await keyboard.press("Enter")
    await expect(ann.page.get_by_role("main")).to_be_focused()
    await expect(ann.answers.last).to_contain_text("2 / 2")


async def test_on_a_phone_the_side_bar_is_a_drawer(people: People) -> None:
    ann = await people.join("Ann", viewport={"width": 390, "height": 844}, has_touch=True)
    await ann.ask("Hello")
    await ann.answered("Hello")
    chats = ann.page.get_by_role("list", name="Chats")
    await expect(chats).to_be_hidden()
    await ann.button("Open the side bar").click()
    await expect(chats.get_by_role("link")).to_be_visible()
    await ann.page.get_by_role("link", name="New chat").last.click()
    await expect(chats).to_be_hidden()
    await expect(ann.page.get_by_role("heading", level=2)).to_contain_text("Hello, Ann")
