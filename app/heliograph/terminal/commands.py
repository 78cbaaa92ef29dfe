"""What a line at the prompt does when nothing else is going on.

A line that starts with ``/`` and is no command of the client goes to the server as it is:
the ``echo`` model runs a tool for ``/name {json}``.
"""

from __future__ import annotations

import datetime
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from heliograph.terminal.client import Client
from heliograph.terminal.events import text

_HELP = """\
/new              start a new chat
/chats            list your chats
/open ID          open a chat; an answer in flight is resumed
/models           list the models
/model NAME       ask this model from now on
/channel NAME     watch a channel and post to it; without a name: list them
/notes            list your notes
/stop, Ctrl-C     stop the answer that is coming
/leave, Ctrl-D    quit; an answer that is coming goes on at the server
/help             this list
Other lines are sent, also those that start with / (tools of the echo model: /status,
/confirm, /ask, /python)."""

_NANOSECONDS = 10**12
"""Times above are in nanoseconds, as of channels and notes; below in seconds."""


class Commands:
    """The commands of one connected client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._screen = client.screen
        self._table: dict[str, Callable[[str], Awaitable[None]]] = {
            "/new": self._new,
            "/chats": self._chats,
            "/open": self.open,
            "/models": self._models,
            "/model": self._model,
            "/channel": self._channel,
            "/notes": self._notes,
            "/help": self._show_help,
        }

    @property
    def prompt(self) -> str:
        """What stands before a line; empty for the usual."""
        channel = self._client.channel
        return f"#{channel.name} > " if channel is not None else ""

    async def run(self, line: str) -> None:
        """Do what a line says.

        :raises ClientError: it could not be done.
        """
        name, _, rest = line.partition(" ")
        command = self._table.get(name)
        if command is not None:
            await command(rest.strip())
        elif self._client.channel is not None:
            await self._client.channel.post(line)
        else:
            await self._client.conversation.send(line)

    def help(self) -> None:
        """Show the commands."""
        for line in _HELP.splitlines():
            self._screen.notice(line)

    async def open(self, chat_id: str) -> None:
        """Open a chat, and stream the answer in flight if there is one."""
        if not chat_id:
            self._screen.notice("/open ID; /chats lists the ids")
            return
        self._client.channel = None
        await self._client.conversation.open(chat_id)

    async def _show_help(self, _: str) -> None:
        self.help()

    async def _new(self, _: str) -> None:
        self._client.channel = None
        self._client.conversation.start_anew()
        self._screen.notice("a new chat begins with your next line")

    async def _chats(self, _: str) -> None:
        self._list(await self._client.api.chats(), "no chats yet", "title")

    async def _notes(self, _: str) -> None:
        self._list(await self._client.api.notes(), "no notes yet", "title")

    async def _models(self, _: str) -> None:
        self._list(await self._client.api.models(), "no models", "name")

    async def _model(self, name: str) -> None:
        if name:
            self._client.conversation.model = await self._client.choose_model(name)
        self._screen.notice(f"model {self._client.conversation.model}")

    async def _channel(self, name: str) -> None:
        if name:
            await self._client.watch(name)
        else:
            self._list(await self._client.api.channels(), "you are in no channel", "name")

    def _list(self, entries: list[dict[str, Any]], none: str, title: str) -> None:
        if not entries:
            self._screen.notice(none)
        for entry in entries:
            words = f"{text(entry.get(title))}{_when(entry)}"
            self._screen.notice(f"{text(entry.get('id'))}  {words}")


def _when(entry: Mapping[str, Any]) -> str:
    stamp = entry.get("updated_at")
    if not isinstance(stamp, int | float):
        return ""
    seconds = stamp / 1e9 if stamp > _NANOSECONDS else stamp
    return f"  ({datetime.datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M})"
