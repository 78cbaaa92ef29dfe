"""Chats, as a person uses them: asking, stopping, reloading, editing, searching, sharing."""

from __future__ import annotations

import asyncio

import pytest
from playwright.async_api import expect

from tests.browser.people import People
from tests.support.upstream import Upstream, breaks_after, held, tokens

WORDS = " ".join(f"word{number}" for number in range(60))


async def test_a_person_signs_up_asks_and_sees_the_answer_and_its_title(people: People) -> None:
    ann = await people.join("Ann")
    await ann.ask("Roses are **red**")
    answer = await ann.answered("Roses are red")
    await expect(answer.locator("strong")).to_have_text("red")
    await expect(ann.page.get_by_role("heading", level=1)).to_have_text("Roses are **red**")
    await expect(ann.page.get_by_role("list", name="Chats").get_by_role("link")).to_have_count(1)
    await expect(ann.page).to_have_title("Roses are **red** – Heliograph")


@pytest.mark.settings(echo_delay_ms=40)
async def test_a_stopped_answer_keeps_what_had_come_and_says_so(people: People) -> None:
    ann = await people.join()
    await ann.ask(WORDS)
    await expect(ann.answers.last).to_contain_text("word3")
    await ann.button("Stop").click()
    answer = await ann.answered("word3", "stopped")
    await expect(answer).to_contain_text("Stopped.")
    shown = await answer.locator(".markdown").inner_text()
    assert "word59" not in shown
    await ann.page.reload()
    reloaded = await ann.answered("word3", "stopped")
    assert await reloaded.locator(".markdown").inner_text() == shown


@pytest.mark.settings(echo_delay_ms=40)
async def test_a_page_that_is_reloaded_in_mid_stream_sees_it_go_on(people: People) -> None:
    ann = await people.join()
    await ann.ask(WORDS)
    await expect(ann.answers.last).to_contain_text("word3")
    await ann.page.reload()
    await expect(ann.answers.last).to_have_attribute("data-state", "streaming")
    await ann.answered("word59")
    assert await ann.answers.last.locator(".markdown").inner_text() == WORDS


@pytest.mark.settings(echo_delay_ms=20)
async def test_two_windows_of_a_person_show_the_same_stream(people: People) -> None:
    ann = await people.join()
    await ann.ask("Hello")
    await ann.answered("Hello")
    other = await people.second_window(ann)
    await ann.ask(WORDS)
    await other.answered("word59")
    await ann.answered("word59")
    assert await other.answers.last.locator(".markdown").inner_text() == WORDS


async def test_asking_again_makes_versions_between_which_one_can_go(people: People) -> None:
    ann = await people.join()
    await ann.ask("First")
    await ann.answered("First")
    question = ann.page.get_by_role("article", name="Question").last
    await question.hover()
    await question.get_by_role("button", name="Edit").click()
    await ann.field("Edit message").fill("Second")
    await ann.button("Ask again").click()
    await ann.answered("Second")
    await expect(ann.page.get_by_text("2 / 2")).to_be_visible()
    await ann.answers.last.get_by_role("button", name="Regenerate").click()
    await expect(ann.answers.last).to_contain_text("2 / 2")
    await ann.answered("Second")
    await question.hover()
    await question.get_by_role("button", name="Previous version").click()
    await ann.answered("First")
    await ann.page.reload()
    await ann.answered("First")


async def test_an_answer_can_be_changed_by_its_owner(people: People) -> None:
    ann = await people.join()
    await ann.ask("Mistaek")
    answer = await ann.answered("Mistaek")
    await answer.get_by_role("button", name="Edit").click()
    await ann.field("Edit message").fill("Mistake")
    await ann.button("Save").click()
    await ann.answered("Mistake")
    await ann.page.reload()
    await ann.answered("Mistake")


async def test_chats_are_found_renamed_and_deleted(people: People) -> None:
    ann = await people.join()
    for text in ("Apples and pears", "The weather"):
        await ann.page.goto("/")
        await ann.ask(text)
        await ann.answered(text)
    chats = ann.page.get_by_role("list", name="Chats")
    await expect(chats.get_by_role("link")).to_have_count(2)
    await ann.page.get_by_role("searchbox", name="Search chats").fill("pears")
    await expect(chats.get_by_role("link")).to_have_count(1)
    await chats.get_by_role("listitem").first.hover()
    await ann.button("More about Apples and pears").click()
    await ann.page.get_by_role("menuitem", name="Rename").click()
    await ann.field("Title").fill("Fruit")
    await ann.button("Rename").click()
    await expect(chats.get_by_role("link")).to_contain_text("Fruit")
    await chats.get_by_role("listitem").first.hover()
    await ann.button("More about Fruit").click()
    await ann.page.get_by_role("menuitem", name="Delete").click()
    await ann.button("Delete").click()
    await expect(chats.get_by_role("link")).to_have_count(0)
    await ann.page.get_by_role("searchbox", name="Search chats").fill("")
    await expect(chats.get_by_role("link")).to_have_count(1)


@pytest.mark.settings(echo_delay_ms=40)
async def test_a_shared_chat_is_read_live_by_somebody_else(people: People) -> None:
    ann, ben = await people.join("Ann"), await people.join("Ben Baker")
    await ann.ask("Hello")
    await ann.answered("Hello")
    await ann.button("Share").click()
    await ann.field("Add people").fill("Ben")
    await ann.page.get_by_role("list", name="Found").get_by_role("button").click()
    await expect(ann.page.get_by_role("list", name="May read")).to_contain_text("Ben Baker")
    await ann.button("Done").click()
    await ben.page.goto(ann.page.url)
    await ben.answered("Hello")
    await expect(ben.page.get_by_text("shared with you for reading")).to_be_visible()
    await expect(ben.field("Message")).to_have_count(0)
    await ann.ask(WORDS)
    await ben.answered("word59")


async def test_two_clicks_at_once_ask_once(people: People) -> None:
    ann = await people.join()
    await ann.field("Message").fill("Only once")
    await ann.button("Send").evaluate("(button) => { button.click(); button.click(); }")
    await ann.answered("Only once")
    await expect(ann.answers).to_have_count(1)


async def test_an_error_of_the_model_is_shown_with_what_had_come(
    people: People, upstream: Upstream
) -> None:
    upstream.script(breaks_after("Half an ans"))
    ann = await people.join()
    await ann.ask("Well?")
    answer = await ann.answered("Half an ans", "error")
    await expect(answer.get_by_role("alert")).to_be_visible()
    upstream.script(tokens("A whole answer"))
    await answer.get_by_role("button", name="Regenerate").click()
    await ann.answered("A whole answer")


async def test_code_is_coloured_while_it_streams_and_nothing_shown_changes_back(
    people: People, upstream: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.script(
        held("Look:\n\n```python\ndef f(x):\n    return x", gate=gate, then=(" + 1\n```\n\nDone.",))
    )
    ann = await people.join()
    await ann.ask("Code, please")
    code = ann.answers.last.locator("pre code")
    await expect(code.locator(".hljs-keyword").first).to_have_text("def")
    first = await code.locator(".hljs-keyword").first.element_handle()
    assert first is not None
    gate.set()
    await ann.answered("Done.")
    await expect(code).to_have_text("def f(x):\n    return x + 1")
    assert await first.evaluate("(element) => element.isConnected"), "the same element stayed"
    await expect(ann.answers.last.get_by_role("button", name="Copy").first).to_be_visible()
