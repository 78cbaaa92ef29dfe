"""A channel on the screen: its latest messages, what comes, what is typed.

Guarantee: a message that was posted while the connection was away is shown when it is
back, up to the page that is read. Limits: threads, edits and reactions are told as
lines; typing is not shown.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from heliograph.terminal.api import Api
from heliograph.terminal.events import ChannelEvent, mapping, text
from heliograph.terminal.failures import ClientError
from heliograph.terminal.render import Screen

_SHOWN_FIRST = 20
_CAUGHT_UP = 100
_REMEMBERED = 1000


class ChannelView:
    """One watched channel.

    :param user_id: whose own lines are on the screen already.
    """

    def __init__(self, api: Api, screen: Screen, channel: Mapping[str, Any], user_id: str) -> None:
        self.id = str(channel["id"])
        self.name = str(channel.get("name", self.id))
        self._api = api
        self._screen = screen
        self._user_id = user_id
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._arrived: dict[str, asyncio.Event] = {}
        self._posting = 0
        self._own_held: list[ChannelEvent] = []

    @classmethod
    async def find(cls, api: Api, screen: Screen, wanted: str, user_id: str) -> ChannelView:
        """The channel with this id or name.

        :raises ClientError: there is none, or several have the name.
        """
        channels = await api.channels()
        name = wanted.removeprefix("#")
        found = [c for c in channels if c.get("id") == wanted] or [
            c for c in channels if c.get("name") == name
        ]
        if not found:
            names = ", ".join(f"#{c.get('name')}" for c in channels) or "none"
            raise ClientError(f"no channel {wanted}; yours: {names}")
        if len(found) > 1:
            ids = ", ".join(str(c.get("id")) for c in found)
            raise ClientError(f"several channels are named {name}; give an id: {ids}")
        return cls(api, screen, found[0], user_id)

    async def show(self) -> None:
        """The heading and the latest messages."""
        self._screen.heading(f"#{self.name}")
        for message in await self._latest(_SHOWN_FIRST):
            self._show(message)

    async def catch_up(self) -> None:
        """Show what was posted meanwhile."""
        for message in await self._latest(_CAUGHT_UP):
            self._show(message)

    async def post(self, content: str) -> str:
        """Post a message; its id. The line is on the screen already and not shown again."""
        self._posting += 1
        try:
            message_id = str((await self._api.post(self.id, content)).get("id", ""))
            self._remember(message_id)
            return message_id
        finally:
            self._posting -= 1
            if not self._posting:
                held, self._own_held = self._own_held, []
                for event in held:
                    self.on_event(event)

    async def arrival(self, message_id: str) -> None:
        """Wait until the own message has come back as an event."""
        await self._arrived.setdefault(message_id, asyncio.Event()).wait()

    def on_event(self, event: ChannelEvent) -> None:
        """An event of any channel; those of others are ignored."""
        if event.channel_id != self.id:
            return
        author = text(event.data.get("user_id")) or text(event.user.get("id"))
        if event.type == "message" and author == self._user_id and self._posting:
            # It may be the one whose id is not known yet.
            self._own_held.append(event)
            return
        who = text(event.user.get("name")) or "somebody"
        match event.type:
            case "message":
                self._show({**event.data, "user": event.data.get("user") or event.user})
                if author == self._user_id:
                    message_id = text(event.data.get("id")) or event.message_id
                    self._arrived.setdefault(message_id, asyncio.Event()).set()
            case "message:reply":
                self._screen.notice(f"{who} replied to: {text(event.data.get('content'))}")
            case "message:update":
                self._screen.notice(f"{who} edited: {text(event.data.get('content'))}")
            case "message:delete":
                self._screen.notice(f"{who} deleted a message")
            case "message:reaction:add":
                self._screen.notice(f"{who} reacted with {text(event.data.get('name'))}")

    async def _latest(self, limit: int) -> list[dict[str, Any]]:
        messages = await self._api.channel_messages(self.id, limit)
        return sorted(messages, key=lambda message: message.get("created_at") or 0)

    def _show(self, message: Mapping[str, Any]) -> None:
        if self._remember(text(message.get("id"))):
            who = text(mapping(message.get("user")).get("name")) or "somebody"
            self._screen.said(who, text(message.get("content")))

    def _remember(self, message_id: str) -> bool:
        """Whether the message is new."""
        if message_id in self._seen:
            return False
        self._seen[message_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return True
