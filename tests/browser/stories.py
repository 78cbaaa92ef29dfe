"""The views of the page with something in them: each story ends where its picture is taken."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from tests.browser.people import People
from tests.browser.window import Window
from tests.support.upstream import Upstream, calls, held, tokens

HELIOGRAPH = """A **heliograph** signals with sunlight: a mirror is tilted so that its flash \
reaches an observer, long and short, in Morse code.

## How far it reaches

| mirror | clear air | record |
|---|---|---|
| 5 inches | 48 km | 80 km |
| 8 inches | 100 km | 295 km |

1. Find the *observer* through the sighting vane.
2. Aim the shadow spot.
3. Press the key: `flash`, pause, `flash`.

```python
def dots(text: str) -> str:
    \"\"\"Morse code of a text, a space between letters.\"\"\"
    return " ".join(MORSE[letter] for letter in text.upper() if letter in MORSE)

print(dots("sun"))  # ... ..- -.
```

Would you like the **full table** of letters?"""

PLANS = """# Trip to the observatory

We meet on **Saturday at 9:00** at the station. *Bring a mirror.*

- sandwiches and tea
- the small telescope
- a hat, it is the sun we signal with

> The train back leaves at 18:40.
"""


def _pieces(text: str, size: int = 9) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


async def sign_in(people: People, upstream: Upstream) -> Window:
    """The first page."""
    ann = await people.window("Ann Archer")
    await ann.page.goto("/")
    await ann.button("Create an account").click()
    await ann.field("Name").fill("Ann Archer")
    await ann.field("E-mail").fill("ann@example.org")
    return ann


async def welcome(people: People, upstream: Upstream) -> Window:
    """A new chat."""
    return await people.join("Ann Archer")


async def _chats(ann: Window, upstream: Upstream) -> None:
    earlier = ["Packing list for two days", "Why is the sky blue?", "Poem about mirrors"]
    for question in earlier:
        await ann.page.goto("/")
        upstream.script(tokens("Gladly. ", "Here it is."))
        await ann.ask(question)
        await ann.answered("Gladly")
    await ann.page.goto("/")


async def chat(people: People, upstream: Upstream) -> Window:
    """A chat with all that Markdown has."""
    ann = await people.join("Ann Archer")
    await _chats(ann, upstream)
    upstream.script(tokens(*_pieces(HELIOGRAPH)))
    await ann.ask("What is a heliograph, and how far does it reach?")
    await ann.answered("full table")
    await expect(ann.answers.last.locator(".hljs-keyword").first).to_be_visible()
    return ann


async def streaming(people: People, upstream: Upstream) -> Window:
    """A chat in the middle of an answer, with what a tool says."""
    ann = await people.join("Ann Archer")
    await _chats(ann, upstream)
    upstream.script(
        calls(("status", '{"description": "Looking through 12 books", "done": true}')),
        held(*_pieces(HELIOGRAPH[:330]), gate=asyncio.Event()),
    )
    await ann.ask("What is a heliograph, and how far does it reach?")
    await expect(ann.answers.last).to_contain_text("48 km")
    return ann


async def question(people: People, upstream: Upstream) -> Window:
    """A tool asks for a confirmation."""
    ann = await people.join("Ann Archer")
    await _chats(ann, upstream)
    said = '{"title": "Send the message?", "message": "It goes to the valley station at noon."}'
    upstream.script(calls(("confirm", said)))
    await ann.ask("Tell the valley that we come on Saturday")
    await ann.page.get_by_text("valley station").wait_for()
    return ann


async def python(people: People, upstream: Upstream) -> Window:
    """Python ran in the page."""
    ann = await people.join("Ann Archer")
    code = "for mirror in (5, 8):\\n    print(mirror, 'inches:', round(mirror * 9.7), 'km')"
    upstream.script(
        calls(("python", f'{{"code": "{code}"}}')),
        tokens("With 5 inches you are seen **48 km** away, with 8 inches **78 km**."),
    )
    await ann.ask("How far do my mirrors reach?")
    await ann.answered("78 km")
    return ann


async def channel(people: People, upstream: Upstream) -> Window:
    """A channel with people talking."""
    ann, ben = await people.join("Ann Archer"), await people.join("Ben Baker")
    await ann.open("Channels")
    for name in ("announcements", "kitchen", "observatory"):
        await ann.button("New channel").first.click()
        await ann.field("Name").fill(name)
        await ann.button("Create channel").click()
        await expect(ann.field(f"Message #{name}")).to_be_visible()
    await ben.page.goto(ann.page.url)

    said = ann.page.get_by_role("log").get_by_role("article")

    async def say(window: Window, text: str) -> None:
        before = await said.count()
        await window.field("Message #observatory").fill(text)
        await window.field("Message #observatory").press("Enter")
        await expect(said).to_have_count(before + 1)

    await say(ben, "Good morning! The sky will be **clear** from ten on.")
    await say(ben, "Who brings the small telescope?")
    await say(ann, "I do. And *tea*, as always.")
    await say(ann, "Does anybody have the timetable?")
    await say(ben, "```\n08:12  valley\n09:40  summit\n```")
    await said.nth(1).hover()
    await said.nth(1).get_by_role("button", name="Add reaction").click()
    await (
        ann.page.get_by_role("toolbar", name="Choose a reaction")
        .get_by_role("button", name="Thumbs up")
        .click()
    )
    await expect(said.nth(1).get_by_role("list", name="Reactions")).to_be_visible()
    await ben.field("Message #observatory").press_sequentially("And bring ")
    await expect(ann.page.get_by_test_id("typing")).to_contain_text("Ben")
    return ann


async def notes(people: People, upstream: Upstream) -> Window:
    """All notes."""
    ann = await people.join("Ann Archer")
    for title, text in (
        ("Reading list", "Signals before the telegraph, and what became of them."),
        ("Recipe: ginger tea", "Fresh ginger, a lemon, honey. Ten minutes."),
        ("Observatory", PLANS),
    ):
        await _make_note(ann, title, text)
    await ann.page.goto("/notes")
    await expect(ann.page.get_by_role("list", name="All notes")).to_contain_text("Observatory")
    return ann


async def _make_note(window: Window, title: str, text: str) -> str:
    form = {"title": title, "data": {"content": {"md": text}}}
    note_id: str = (await window.http("POST", "/api/v1/notes/create", form))["id"]
    return note_id


async def note(people: People, upstream: Upstream) -> Window:
    """A note with two people in it."""
    ann, ben = await people.join("Ann Archer"), await people.join("Ben Baker")
    await _make_note(ann, "Reading list", "Signals before the telegraph.")
    note_id = await _make_note(ann, "Observatory", PLANS)
    await ann.page.goto(f"/notes/{note_id}")
    await ann.button("Share").click()
    await ann.field("Add people").fill("Ben Baker")
    await ann.page.get_by_role("list", name="Found").get_by_role("button").first.click()
    await ann.page.get_by_role("dialog").get_by_role("button", name="Done").click()
    await ben.page.goto(f"/notes/{note_id}")
    writing = ben.field("Note text").get_by_text("the small telescope")
    await writing.click()
    await ben.page.keyboard.press("End")
    await ben.page.keyboard.type(" and its sta")
    await expect(ann.field("Note text")).to_contain_text("and its sta")
    await ann.field("Note text").get_by_text("sandwiches").click()
    await ben.page.keyboard.type("nd")
    await expect(ann.field("Note text")).to_contain_text("stand")
    await expect(ann.page.locator(".caret")).to_be_attached()
    return ann


async def settings(people: People, upstream: Upstream) -> Window:
    """The settings."""
    ann = await people.join("Ann Archer")
    await ann.page.goto("/settings")
    await expect(ann.page.get_by_role("heading", level=1)).to_be_visible()
    return ann


ALL = {
    "sign-in": sign_in,
    "welcome": welcome,
    "chat": chat,
    "streaming": streaming,
    "question": question,
    "python": python,
    "channel": channel,
    "notes": notes,
    "note": note,
    "settings": settings,
}
