"""What a first visit costs, and that nothing jumps while it is shown."""

from __future__ import annotations

from typing import Any

from playwright.async_api import expect

from tests.browser.people import People
from tests.browser.window import Window
from tests.support.upstream import Upstream, tokens

MOST_BYTES = 200_000  # compressed, without editor and Pyodide
MOST_SHIFT = 0.01  # of Cumulative Layout Shift; 0.1 is what is called good

_WATCH = """
  window.shifted = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!entry.hadRecentInput) window.shifted.push(entry.value);
    }
  }).observe({ type: 'layout-shift', buffered: true });
"""


async def _loaded(window: Window) -> dict[str, float]:
    """Bytes over the network so far, by path."""
    session = await window.context.new_cdp_session(window.page)
    await session.send("Network.enable")
    paths: dict[str, str] = {}
    sizes: dict[str, float] = {}

    def answered(event: dict[str, Any]) -> None:
        paths[event["requestId"]] = event["response"]["url"].split("/", 3)[-1]

    def finished(event: dict[str, Any]) -> None:
        if event["requestId"] in paths:
            sizes[paths[event["requestId"]]] = event["encodedDataLength"]

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", finished)
    return sizes


async def test_the_first_load_is_small_and_what_is_large_comes_when_used(people: People) -> None:
    ann = await people.window("Ann")
    loaded = await _loaded(ann)
    await ann.sign_up("ann@example.org")
    await expect(ann.button("Send")).to_be_visible()
    await ann.ask("Hello **there**")
    await ann.answered("Hello there")
    first = sum(loaded.values())
    assert first < MOST_BYTES, loaded
    assert not any("NoteView" in path or "pyodide" in path for path in loaded), loaded
    await ann.open("Notes")
    await ann.button("New note").first.click()
    await expect(ann.field("Note text")).to_be_editable()
    assert any("NoteView" in path for path in loaded)
    # Again: from the cache.
    loaded.clear()
    await ann.page.goto("/")
    await ann.connected()
    again = sum(size for path, size in loaded.items() if path.startswith("assets/"))
    assert again == 0, loaded


async def test_nothing_jumps_while_a_chat_is_opened_and_answered(
    people: People, upstream: Upstream
) -> None:
    text = (
        "# Title\n\nSome text.\n\n```python\nx = 1\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n- end"
    )
    upstream.script(tokens(*(text[at : at + 5] for at in range(0, len(text), 5))))
    ann = await people.join("Ann")
    await ann.page.add_init_script(_WATCH)
    await ann.page.goto("/")
    await ann.ask("Say something long")
    await ann.answered("end")
    await ann.page.reload()
    await ann.answered("end")
    await ann.open("Channels")
    await ann.open("Notes")
    await ann.open("Chats")
    shifted = await ann.page.evaluate("() => window.shifted")
    assert sum(shifted) <= MOST_SHIFT, shifted
