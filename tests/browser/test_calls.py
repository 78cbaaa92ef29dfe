"""What the server asks of the page: questions, Python, tools, models; and what tools embed."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import uuid

import pytest
from playwright.async_api import Locator, expect

from tests.browser.people import People
from tests.browser.toolserver import running_tool_server
from tests.browser.window import Window
from tests.support.server import RunningServer
from tests.support.upstream import Upstream, tokens


async def test_a_confirmation_is_answered_yes_and_no(people: People) -> None:
    ann = await people.join()
    question = {"title": "Launch", "message": "Really <b>launch</b>?"}
    for press, said in (("Confirm", "the user confirmed"), ("Cancel", "the user declined")):
        await ann.ask(f"/confirm {json.dumps(question)}")
        dialog = ann.dialog("Launch")
        await expect(dialog).to_contain_text("Really <b>launch</b>?")
        await dialog.get_by_role("button", name=press).click()
        await ann.answered(said)
        await expect(dialog).to_have_count(0)


async def test_an_input_is_answered_and_a_double_click_answers_once(people: People) -> None:
    ann = await people.join()
    await ann.ask('/ask {"title": "Colour", "message": "Your colour?", "placeholder": "red"}')
    dialog = ann.dialog("Colour")
    await dialog.get_by_label("Your colour?").fill("deep blue")
    await dialog.get_by_role("button", name="Send answer").dblclick()
    await ann.answered("the user answered: deep blue")
    await ann.ask('/ask {"title": "Colour", "message": "And now?"}')
    await expect(ann.dialog("Colour")).to_be_visible()
    await ann.page.keyboard.press("Escape")
    await ann.answered("the user cancelled")


async def test_a_password_is_not_shown_and_goes_to_who_asked(
    people: People, server: RunningServer
) -> None:
    ann = await people.join()
    await ann.ask("Hello")
    await ann.answered("Hello")
    [session] = [each for one in server.replicas for each in one.services.hub.sessions.values()]
    # As a tool outside the server asks, with the person's token.
    chat, message = await ann.open_chat()
    data = {"title": "Vault", "message": "The password?", "type": "password"}
    call = {"session_id": session.sid, "type": "input", "data": data}
    path = f"{chat}/messages/{message['id']}/call"
    called = asyncio.ensure_future(ann.http("POST", path, call))
    field = ann.dialog("Vault").get_by_label("The password?")
    await expect(field).to_have_attribute("type", "password")
    await field.fill("open sesame")
    await ann.dialog("Vault").get_by_role("button", name="Send answer").click()
    assert await called == {"result": "open sesame"}


async def test_a_question_waits_while_the_connection_is_away(people: People) -> None:
    ann = await people.join()
    await ann.ask('/ask {"title": "Name", "message": "Your name?"}')
    field = ann.dialog("Name").get_by_label("Your name?")
    await field.fill("Ann")
    await ann.context.set_offline(True)
    await expect(ann.connection).to_have_attribute("data-status", "offline")
    await ann.context.set_offline(False)
    await ann.connected()
    await expect(ann.page.locator("dialog[open]")).to_have_count(1)
    await ann.dialog("Name").get_by_role("button", name="Send answer").click()
    await ann.answered("the user answered: Ann")


async def test_stopping_the_answer_takes_the_question_back(people: People) -> None:
    ann = await people.join()
    await ann.ask('/confirm {"title": "Sure", "message": "Sure?"}')
    await expect(ann.dialog("Sure")).to_be_visible()
    other = await people.second_window(ann)
    await other.button("Stop").click()
    await expect(ann.dialog("Sure")).to_have_count(0)
    await ann.answered("", "stopped")


def _run(window: Window) -> Locator:
    return window.answers.last.locator("details.execution").last


async def python(window: Window, code: str) -> Locator:
    """Let the tool run Python; what the page shows of it."""
    await window.ask(f"/python {json.dumps({'code': code})}")
    await expect(window.answers.last).to_have_attribute("data-state", "finished", timeout=90_000)
    return _run(window)


PICTURE = """
import struct, zlib
def png(width, height):
    def part(kind, data):
        checked = kind + data
        return struct.pack('>I', len(data)) + checked + struct.pack('>I', zlib.crc32(checked))
    rows = b''.join(b'\\0' + bytes((x * 8 % 256, y * 8 % 256, 120)[i] for x in range(width)
                    for i in range(3)) for y in range(height))
    head = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return (b'\\x89PNG\\r\\n\\x1a\\n' + part(b'IHDR', head) + part(b'IDAT', zlib.compress(rows))
            + part(b'IEND', b''))
display(png(32, 32))
print('drawn')
"""

ESCAPE = """
import js
found = []
for name in ('localStorage', 'indexedDB', 'document', 'parent'):
    try:
        thing = getattr(js, name)
        if name == 'indexedDB':
            thing.open('heliograph')  # throws in an origin of its own
            found.append('indexedDB')
        elif name == 'localStorage':
            found.append(str(thing.getItem('token')))
        elif name == 'document':
            found.append(str(thing.title))
        elif name == 'parent':
            found.append(str(thing.location.href))
    except BaseException as error:
        pass
try:
    answer = await js.fetch(js.location.origin + '/api/config')
    found.append('fetched ' + str(answer.status))
except BaseException:
    pass
try:
    answer = await js.fetch('ORIGIN/api/config')
    found.append('fetched ' + str(answer.status))
except BaseException:
    pass
print('found', [each for each in found if each])
"""


@pytest.mark.timeout(240)
async def test_python_runs_in_the_page_and_reaches_nothing_of_it(people: People) -> None:
    ann = await people.join()
    run = await python(ann, "import math\nprint('hello', math.tau)\nsum(range(101))")
    await expect(run).to_contain_text("hello 6.28")
    await expect(run).to_contain_text("5050")
    assert "5050" in await ann.answers.last.inner_text()

    run = await python(ann, PICTURE)
    await expect(run).to_contain_text("drawn")
    picture = ann.answers.last.get_by_role("img")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("(image) => image.naturalWidth") == 32
    await ann.page.reload()
    await expect(ann.answers.last.get_by_role("img")).to_be_visible()

    origin = await ann.page.evaluate("() => location.origin")
    run = await python(ann, ESCAPE.replace("ORIGIN", origin))
    await expect(run).to_contain_text("found []")

    run = await python(ann, "import numpy")
    await expect(run).to_contain_text("standard library")
    run = await python(ann, "raise ValueError('<img src=x onerror=alert(1)>')")
    await expect(run).to_contain_text("<img src=x onerror=alert(1)>")
    # What the sandbox refused is no fault of the page.
    ann.problems[:] = [p for p in ann.problems if "Content Security Policy" not in p]


@pytest.mark.timeout(240)
@pytest.mark.settings(websocket_event_caller_timeout=20)
async def test_python_that_does_not_end_is_ended(people: People) -> None:
    ann = await people.join()
    await ann.ask(f"/python {json.dumps({'code': 'while True: pass'})}")
    await expect(_run(ann)).to_have_attribute("data-state", "running", timeout=90_000)
    await ann.button("Stop").click()
    await ann.answered("", "stopped")
    await expect(_run(ann)).to_have_attribute("data-state", "done")
    run = await python(ann, "print('next')")
    await expect(run).to_contain_text("next")


@pytest.mark.timeout(240)
async def test_a_block_of_python_can_be_run_by_hand(people: People) -> None:
    ann = await people.join()
    await ann.ask("```python\nprint(6 * 7)\n```\n\nThat is it.")
    answer = await ann.answered("That is it.")
    await answer.get_by_role("button", name="Run").click()
    await expect(answer.locator("details.execution")).to_contain_text("42", timeout=90_000)


async def emit(window: Window, kind: str, data: object) -> None:
    """As a tool outside the server: an event of the last message."""
    chat, message = await window.open_chat()
    event = {"type": kind, "data": data}
    await window.http("POST", f"{chat}/messages/{message['id']}/event", event)


async def test_embeds_show_markup_and_run_no_script(people: People) -> None:
    ann = await people.join()
    await ann.ask("Hello")
    await ann.answered("Hello")
    asked: list[str] = []
    ann.page.on("request", lambda request: asked.append(request.url))
    mark = uuid.uuid4().hex
    hostile = (
        f"<h1 style='color: rgb(1, 2, 3)'>Chart {mark}</h1>"
        "<script>document.body.textContent = 'hacked'; parent.postMessage('hacked', '*')</script>"
        "<img src=x onerror=\"document.body.textContent = 'hacked'\">"
        "<a href='javascript:document.body.textContent=1'>x</a>"
        "<iframe srcdoc='<script>parent.document.body.textContent=1</script>'></iframe>"
        "<img src='https://evil.example/pixel.png'>"
        "<meta http-equiv=refresh content='0;url=https://evil.example'>"
        "<form action='https://evil.example'><input name=q></form>"
    )
    await emit(ann, "embeds", {"embeds": [hostile, "https://other.example/video", "javascript:x"]})
    frame = ann.answers.last.frame_locator("iframe").first
    title = frame.get_by_role("heading", name=f"Chart {mark}")
    await expect(title).to_be_visible()
    assert await title.evaluate("(h) => getComputedStyle(h).color") == "rgb(1, 2, 3)"
    assert await title.evaluate("() => self.origin") == "null"
    await expect(ann.page.get_by_text("other.example").first).to_be_visible()
    await expect(ann.answers.last.locator("iframe")).to_have_count(1)  # nothing foreign unasked
    await ann.page.reload()
    await expect(title).to_be_visible()
    # A request that the policy stops is announced, but fails before it leaves.
    assert not [url for url in asked if "other.example" in url or "refresh" in url]
    ann.problems[:] = [p for p in ann.problems if "Content Security Policy" not in p]


async def test_sources_files_follow_ups_title_and_tags_arrive_live(people: People) -> None:
    ann = await people.join()
    await ann.ask("Hello")
    await ann.answered("Hello")
    other = await people.second_window(ann)
    await emit(
        ann, "source", {"source": {"name": "The book of mirrors"}, "document": ["page 7 says so"]}
    )
    url = "data:text/plain," + urllib.parse.quote("all of it")
    await emit(ann, "files", {"files": [{"name": "notes.txt", "url": url}]})
    await emit(ann, "chat:message:follow_ups", {"follow_ups": ["And at night?"]})
    await emit(ann, "chat:title", "Mirrors")
    await emit(ann, "chat:tags", ["sun", "signals"])
    for window in (ann, other):
        answer = window.answers.last
        await answer.get_by_text("The book of mirrors").click()
        await expect(answer.get_by_text("page 7 says so")).to_be_visible()
        await expect(answer.get_by_role("link", name="notes.txt")).to_be_visible()
        await expect(window.page.get_by_role("heading", level=1)).to_contain_text("Mirrors")
        await expect(window.page.get_by_role("heading", level=1)).to_contain_text("signals")
    await other.page.get_by_role("button", name="And at night?").click()
    await other.answered("And at night?")
    await ann.answered("And at night?")


async def test_an_own_model_is_asked_by_the_page(people: People, upstream: Upstream) -> None:
    upstream.script(tokens("From ", "my ", "own ", "model"))
    ann = await people.join()
    await _allow_cross_origin(ann, upstream.url)
    await ann.page.goto("/settings")
    form = ann.page.get_by_role("form", name="Address of an OpenAI-compatible server")
    await form.get_by_role("textbox").first.fill(upstream.url)
    await form.get_by_role("button").click()
    await expect(ann.page.get_by_role("list", name="Model servers")).to_contain_text("m1")
    await ann.page.goto("/")
    model = ann.page.get_by_label("Model")
    host = urllib.parse.urlsplit(upstream.url).netloc
    await model.select_option(f"m1@{host}")
    await ann.ask("Who are you?")
    await ann.answered("From my own model")
    # The server does not know it by this name: the page asked.
    assert upstream.requests[-1].body["model"] == "m1"


async def test_a_tool_of_the_persons_own_server_is_called_by_the_page(people: People) -> None:
    async with running_tool_server() as tools:
        ann = await people.join()
        await ann.page.goto("/settings")
        form = ann.page.get_by_role("form", name="Address of a tool server")
        await form.get_by_role("textbox").first.fill(tools.url)
        await form.get_by_label("Key (optional)").fill("a secret")
        await form.get_by_role("button").click()
        await expect(ann.page.get_by_role("list", name="Tool servers")).to_contain_text("forecast")
        await ann.page.goto("/")
        await ann.ask('/forecast {"town": "Linz & Wels?", "days": 3}')
        answer = await ann.answered("Linz & Wels?")
        await expect(answer).to_contain_text('"days": 3')
        assert tools.keys == ["Bearer a secret"]
        await ann.page.goto("/settings")
        await ann.page.get_by_role("switch", name="Offer the tools of Weather").click()
        await ann.page.goto("/")
        await ann.ask('/forecast {"town": "Innsbruck"}')
        await ann.answered('/forecast {"town": "Innsbruck"}')  # nobody offers it now: an echo


async def _allow_cross_origin(window: Window, url: str) -> None:
    # The scripted upstream knows nothing of browsers; what it lacks is added on the way.
    base = url.removesuffix("/v1")

    async def add(route: object) -> None:
        request = route.request  # type: ignore[attr-defined]
        allowed = {"access-control-allow-origin": "*", "access-control-allow-headers": "*"}
        if request.method == "OPTIONS":
            await route.fulfill(status=204, headers=allowed)  # type: ignore[attr-defined]
            return
        answer = await route.fetch()  # type: ignore[attr-defined]
        headers = {**answer.headers, **allowed}
        await route.fulfill(response=answer, headers=headers)  # type: ignore[attr-defined]

    await window.page.route(f"{base}/**", add)
