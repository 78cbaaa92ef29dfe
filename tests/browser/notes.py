"""What people do in a note, as the tests do it."""

from __future__ import annotations

import asyncio

from playwright.async_api import Locator, expect

from tests.browser.window import Window


def text(window: Window) -> Locator:
    """The note's text."""
    return window.field("Note text")


async def new_note(window: Window, title: str) -> str:
    """Make a note; its address."""
    await window.open("Notes")
    await window.button("New note").first.click()
    await expect(text(window)).to_be_editable()
    await window.field("Title").fill(title)
    await window.field("Title").press("Enter")
    return window.page.url


async def share(window: Window, name: str, permission: str) -> None:
    """Let somebody in."""
    await window.button("Share").click()
    await window.field("Add people").fill(name)
    await window.page.get_by_role("list", name="Found").get_by_role("button").first.click()
    await window.page.get_by_label(f"What {name} may do").select_option(permission)
    await window.page.get_by_role("dialog").get_by_role("button", name="Done").click()


async def saved(window: Window) -> None:
    """Everything that was typed is acknowledged."""
    await expect(window.page.get_by_test_id("save-state")).to_have_text("Saved")


async def typed(window: Window, words: str) -> None:
    """Type at the end of the note."""
    await text(window).focus()
    await window.page.keyboard.press("Control+End")
    await window.page.keyboard.type(words)


async def same(*windows: Window) -> str:
    """Wait until all show the same; what they show."""
    # The names at the others' cursors are not the note's.
    read = """(field) => {
      const copy = field.cloneNode(true);
      copy.querySelectorAll('.caret').forEach((caret) => caret.remove());
      return [...copy.children].map((block) => block.textContent).join('\\n');
    }"""
    async with asyncio.timeout(20):
        while True:
            shown: set[str] = {await text(window).evaluate(read) for window in windows}
            if len(shown) == 1:
                return shown.pop()
            await asyncio.sleep(0.05)
