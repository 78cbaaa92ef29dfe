"""One window with a person in it, who acts by what the page names."""

from __future__ import annotations

import shutil
from typing import Any

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Playwright,
    expect,
)

ARGUMENTS = [
    "--no-sandbox",  # tests run as root, too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
]
PATIENCE_MS = 20_000
"""How long something may take on a loaded machine, ms."""

PASSWORD = "correct horse"

# What Chromium says of every response that is an error, and of connections that are cut.
_EXPECTED = ("Failed to load resource", "WebSocket connection to", "net::ERR_")

_FETCH = """async ([method, path, body]) => {
  const answer = await fetch(path, {
    method,
    headers: {
      'content-type': 'application/json',
      authorization: `Bearer ${localStorage.getItem('token')}`,
    },
    ...(body === null ? {} : { body: JSON.stringify(body) }),
  });
  if (!answer.ok) throw new Error(`${answer.status}: ${await answer.text()}`);
  return answer.json();
}"""


async def launch(playwright: Playwright) -> Browser:
    """Start Debian's Chromium.

    :raises AssertionError: there is none.
    """
    path = shutil.which("chromium")
    assert path is not None, "Chromium is missing: apt-get install chromium"
    expect.set_options(timeout=PATIENCE_MS)
    return await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)


class Window:
    """A window. ``problems`` holds what the page complained about: errors of scripts, broken
    policies, dialogs that a script opened."""

    def __init__(self, context: BrowserContext, page: Page, name: str) -> None:
        self.context = context
        self.page = page
        self.name = name
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        page.on("console", self._heard)
        page.on("dialog", self._alarmed)

    def _heard(self, message: ConsoleMessage) -> None:
        text = message.text
        if message.type == "error" and not any(part in text for part in _EXPECTED):
            self.problems.append(f"console: {text}")

    async def _alarmed(self, dialog: Any) -> None:
        self.problems.append(f"a script opened a dialog: {dialog.message}")
        await dialog.dismiss()

    # -- finding -----------------------------------------------------------------------

    def button(self, name: str) -> Locator:
        """A button by its name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def link(self, name: str) -> Locator:
        """A link by its name."""
        return self.page.get_by_role("link", name=name)

    def field(self, name: str) -> Locator:
        """A text field by its name."""
        return self.page.get_by_role("textbox", name=name, exact=True)

    def dialog(self, name: str) -> Locator:
        """An open dialog by its title."""
        return self.page.locator(f"dialog[open]:has(h2:text-is({name!r}))")

    @property
    def answers(self) -> Locator:
        """The answers of the open chat."""
        return self.page.get_by_role("article", name="Answer")

    @property
    def connection(self) -> Locator:
        """What the page says of its connection."""
        return self.page.get_by_test_id("connection")

    # -- acting ------------------------------------------------------------------------

    async def sign_up(self, email: str) -> None:
        """Make an account and come in."""
        await self.page.goto("/")
        await self.button("Create an account").click()
        await self.field("Name").fill(self.name)
        await self.field("E-mail").fill(email)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.button("Create account").click()
        await self.connected()

    async def connected(self) -> None:
        """Wait until the page says that it is connected."""
        await expect(self.connection).to_have_attribute("data-status", "connected")

    async def ask(self, text: str) -> None:
        """Send a question in the open chat, or in a new one."""
        await self.field("Message").fill(text)
        await expect(self.button("Send")).to_be_enabled()  # there is a connection, and a model
        await self.field("Message").press("Enter")

    async def answered(self, text: str, state: str = "finished") -> Locator:
        """Wait for an answer with this text and state as the last one."""
        answer = self.answers.last
        await expect(answer).to_have_attribute("data-state", state)
        await expect(answer).to_contain_text(text)
        return answer

    async def http(self, method: str, path: str, body: Any = None) -> Any:
        """A request with the person's token, as a program of theirs would send it.

        :returns: the answer's JSON.
        :raises playwright.async_api.Error: it was refused; with the answer.
        """
        return await self.page.evaluate(_FETCH, [method, path, body])

    async def open_chat(self) -> tuple[str, dict[str, Any]]:
        """The path of the chat that is open, and its current message as the server has it."""
        path = f"/api/v1/chats/{self.page.url.rsplit('/', 1)[1]}"
        history = (await self.http("GET", path))["chat"]["history"]
        return path, history["messages"][history["currentId"]]

    async def open(self, section: str) -> None:
        """Go to Chats, Channels or Notes."""
        await (
            self.page.get_by_role("navigation", name="Sections")
            .get_by_role("link", name=section)
            .click()
        )
