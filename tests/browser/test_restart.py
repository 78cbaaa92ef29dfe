"""The server goes and comes back under the page, and everything goes on without a reload."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.channels import message, new_channel, say
from tests.browser.notes import new_note, same, saved, share, text, typed
from tests.browser.people import People
from tests.browser.process import ServerProcess, running_process

WORDS = " ".join(f"word{number}" for number in range(400))

# A page that is loaded again has forgotten this.
_MARK = "() => { window.mark = 'never reloaded' }"
_MARKED = "() => window.mark"


@pytest_asyncio.fixture(loop_scope="session")
async def process(tmp_path: Path, sqlite_url: str) -> AsyncIterator[ServerProcess]:
    """A server to stop and start."""
    async with running_process(
        tmp_path, sqlite_url, echo_delay_ms="10", chat_settle_seconds="0.2"
    ) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def crowd(browser: Browser, process: ServerProcess) -> AsyncIterator[People]:
    """People at that server."""
    people = People(browser, process.url)
    yield people
    await people.leave()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_chat_goes_on_after_a_restart(
    crowd: People, process: ServerProcess, how: signal.Signals
) -> None:
    ann = await crowd.join("Ann")
    await ann.page.evaluate(_MARK)
    await ann.ask(WORDS)
    await expect(ann.answers.last).to_contain_text("word20")
    await process.stop(how)
    await expect(ann.connection).to_have_attribute("data-status", "reconnecting")
    await expect(ann.connection).to_contain_text("Reconnecting")
    await ann.field("Message").fill("written while it was away")
    await expect(ann.button("Stop").or_(ann.button("Send"))).to_be_visible()
    await process.start()
    await ann.connected()
    answer = await ann.answered("word5", "interrupted")
    await expect(answer).to_contain_text("The server ended before this answer was complete.")
    await expect(ann.field("Message")).to_have_value("written while it was away")
    await ann.field("Message").press("Enter")
    await ann.answered("written while it was away")
    assert await ann.page.evaluate(_MARKED) == "never reloaded"


async def test_a_note_and_a_channel_go_on_after_a_crash(
    crowd: People, process: ServerProcess
) -> None:
    ann, ben = await crowd.join("Ann Archer"), await crowd.join("Ben Baker")
    note = await new_note(ann, "Plans")
    await share(ann, "Ben Baker", "write")
    await ben.page.goto(note)
    await typed(ann, "Before. ")
    await expect(text(ben)).to_contain_text("Before.")
    talk = await crowd.second_window(ann)
    channel = await new_channel(talk, "garden")
    listening = await crowd.second_window(ben)
    await listening.page.goto(channel)
    await say(talk, "garden", "said before")
    await expect(message(listening, "said before")).to_be_visible()
    windows = (ann, ben, talk, listening)
    for window in windows:
        await window.page.evaluate(_MARK)

    await process.stop(signal.SIGKILL)
    for window in windows:
        await expect(window.connection).to_have_attribute("data-status", "reconnecting")
    await typed(ann, "Ann wrote on. ")
    await typed(ben, "Ben wrote on. ")
    await talk.field("Message #garden").fill("typed meanwhile")
    await process.start()

    for window in windows:
        await window.connected()
    await saved(ann)
    await saved(ben)
    shown = await same(ann, ben)
    for words in ("Before.", "Ann wrote on.", "Ben wrote on."):
        assert shown.count(words) == 1, shown
    await talk.field("Message #garden").press("Enter")
    await expect(message(listening, "typed meanwhile")).to_have_count(1)
    await expect(message(listening, "said before")).to_have_count(1)
    for window in windows:
        assert await window.page.evaluate(_MARKED) == "never reloaded"


async def test_a_connection_that_is_cut_is_recovered_without_a_gap(
    crowd: People, process: ServerProcess
) -> None:
    ann = await crowd.join("Ann")
    await ann.page.evaluate(_MARK)
    await ann.ask(WORDS)
    await expect(ann.answers.last).to_contain_text("word20")
    await ann.context.set_offline(True)
    await expect(ann.connection).to_have_attribute("data-status", "offline")
    await expect(ann.connection).to_contain_text("Offline")
    await ann.context.set_offline(False)
    await ann.connected()
    await ann.answered("word399")
    assert await ann.answers.last.locator(".markdown").inner_text() == WORDS
    assert await ann.page.evaluate(_MARKED) == "never reloaded"


async def test_a_page_that_is_opened_while_the_server_is_away_says_so(
    crowd: People, process: ServerProcess
) -> None:
    ann = await crowd.join("Ann")
    await ann.page.route("**/api/config", lambda route: route.abort())
    await ann.page.reload()
    await expect(ann.page.get_by_role("heading")).to_have_text("The server does not answer")
    await ann.page.unroute("**/api/config")
    await ann.button("Try again").click()
    await ann.connected()
