"""What people do in a channel, as the tests do it."""

from __future__ import annotations

from playwright.async_api import Locator, expect

from tests.browser.window import Window


async def new_channel(window: Window, name: str, *, private: bool = False) -> str:
    """Make a channel; its address."""
    await window.open("Channels")
    await window.button("New channel").first.click()
    await window.field("Name").fill(name)
    if private:
        await window.page.get_by_role("checkbox", name="Private").check()
    await window.button("Create channel").click()
    await expect(window.field(f"Message #{name}")).to_be_visible()
    return window.page.url


async def say(window: Window, name: str, text: str) -> None:
    """Write into the open channel."""
    field = window.field(f"Message #{name}")
    await field.fill(text)
    await field.press("Enter")


def messages(window: Window) -> Locator:
    """What is said in the open channel."""
    return window.page.get_by_role("log", name="Messages")


def message(window: Window, text: str) -> Locator:
    """One message."""
    return messages(window).get_by_role("article").filter(has_text=text)
