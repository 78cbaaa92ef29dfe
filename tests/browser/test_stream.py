"""20,000 tokens into one message, 500 a second: it stays smooth, complete, and does not grow.

It measures, so `make test` runs it by itself, after everything else (the mark ``alone``).
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable

import pytest
from playwright.async_api import expect

from tests.browser.people import People
from tests.browser.stream import steady, watch
from tests.browser.window import Window
from tests.support.upstream import Upstream

PER_SECOND = 500
LEAST_FRAMES = 30  # a second
MOST_GROWTH = 5.0  # MB of JavaScript memory, from a quarter of the answer to its end

PARAGRAPH = [
    "lorem",
    "ipsum",
    "dolor",
    "sit",
    "amet,",
    "**consectetur**",
    "adipiscing",
    "`elit`",
    "sed",
    "do",
]


def prose(index: int) -> str:
    """An answer as models write them: paragraphs, lists, code."""
    if index % 400 == 0:
        return f"\n\n## Part {index // 400}\n\n"
    if index % 400 == 200:
        return "\n\n```python\n"
    if index % 400 == 300:
        return "\n```\n\n"
    if 200 < index % 400 < 300:
        return "\n    x = f(1)  # call" if index % 10 == 0 else " + y"
    if index % 80 == 79:
        return "\n\n- "
    return f"{PARAGRAPH[index % len(PARAGRAPH)]} "


def one_paragraph(index: int) -> str:
    """The hardest text: nothing in it ever ends."""
    return f"word{index} "


async def _shown(window: Window, share: float, script: str) -> None:
    length = f"(least) => document.querySelector({script!r})?.textContent.length >= least"
    await window.page.wait_for_function(length, arg=share, timeout=90_000)


@pytest.mark.alone
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("words", "number"), [(prose, 20_000), (one_paragraph, 8_000)])
async def test_a_long_answer_stays_smooth_and_memory_flat(
    people: People, upstream: Upstream, words: Callable[[int], str], number: int
) -> None:
    whole = "".join(words(index) for index in range(number))
    upstream.script(steady(words, number, PER_SECOND))
    ann = await people.join()
    await ann.ask("A long one, please")
    await expect(ann.answers.last).to_have_attribute("data-state", "streaming")
    # What is shown is shorter than the Markdown; its parts are in proportion.
    plain = len(whole) * (0.9 if words is prose else 1)
    quarters = [
        functools.partial(_shown, ann, plain * part, "article.assistant .markdown")
        for part in (0.25, 0.5, 0.75)
    ]
    figures = await watch(ann, [*quarters, lambda: ann.answered("", "finished")])
    print(figures)
    # In the database, on the page: every token, once.
    _, message = await ann.open_chat()
    assert message["content"] == whole
    assert statistics.median(figures.frames) >= LEAST_FRAMES, figures
    assert figures.memory[-1] - figures.memory[0] <= MOST_GROWTH, figures
