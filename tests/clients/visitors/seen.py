"""What one client saw of its chat and of the channel, and what was wrong with that.

The rules are those of ``lib/answers.js`` and ``lib/posts.js``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

Messages = Iterable[tuple[str, dict[str, Any]]]


class Wrong(Protocol):
    """Is told each thing that must not be."""

    def __call__(self, kind: str, **details: Any) -> None:
        """Tell."""


class Answers:
    """The answers of one chat."""

    def __init__(self, wrong: Wrong) -> None:
        self._wrong = wrong
        self._known: dict[str, dict[str, Any]] = {}

    def done(self, id: str) -> bool:
        """Whether it has ended."""
        return bool(self._known.get(id, {}).get("done"))

    def take(self, event: dict[str, Any]) -> str:
        """Take one of ``events``; how its answer ended by it, ``gap``, or nothing."""
        id, kind, data = event["message_id"], event["data"]["type"], event["data"]["data"]
        answer = self._known.setdefault(id, {"seq": 0, "read": 0, "text": "", "done": False})
        if kind == "message":
            return self._append(id, answer, event["seq"], data["content"])
        if kind == "chat:completion" and data.get("done"):
            answer["done"] = True
            if data["state"] == "interrupted" and "content" in data:
                answer["text"] = data["content"]
            return str(data["state"])
        if kind in ("chat:message:error", "chat:tasks:cancel"):
            answer["done"] = True
            return str(kind)
        return ""

    def _append(self, id: str, answer: dict[str, Any], seq: int, text: str) -> str:
        if seq == answer["seq"] + 1:
            answer["seq"] = seq
            answer["text"] += text
        elif seq > answer["seq"]:
            self._wrong("gaps", id=id, had=answer["seq"], got=seq)
            answer["seq"] = seq
            return "gap"
        elif seq > answer["read"]:
            self._wrong("doubles", id=id, had=answer["seq"], got=seq)
        return ""

    def read(self, messages: Messages, streams: list[dict[str, Any]]) -> None:
        """Take what was read: the chat, and the answers in flight."""
        for id, message in messages:
            if self.done(id) or message["done"] is not False:
                text = message["content"]
                self._known[id] = {"seq": math.inf, "read": math.inf, "text": text, "done": True}
        for stream in streams:
            seq, text = stream["seq"], stream["content"]
            self._known[stream["message_id"]] = {
                "seq": seq, "read": seq, "text": text, "done": False,
            }  # fmt: skip

    def compare(self, messages: Messages) -> None:
        """With the chat as the server has it now."""
        for id, message in messages:
            ours, theirs = self._known.get(id, {}).get("text", ""), message["content"]
            if ours != theirs:
                sizes = {"ours": len(ours), "theirs": len(theirs)}
                self._wrong("wrongTexts", id=id, prefix=theirs.startswith(ours), **sizes)


class Posts:
    """The messages of the channel."""

    def __init__(self, wrong: Wrong) -> None:
        self._wrong = wrong
        self._seen: dict[str, None] = {}  # in the order seen
        self._read: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Take one of ``events:channel``."""
        if event["data"]["type"] != "message":
            return
        id = event.get("message_id") or event["data"]["data"]["id"]
        if id in self._seen and id not in self._read:
            self._wrong("channelDoubles", id=id)
        self._seen.setdefault(id)

    def read(self, ids: list[str]) -> None:
        """Take what was read, oldest first."""
        self._seen, self._read = dict.fromkeys(ids), set(ids)

    def compare(self, stored: list[str]) -> None:
        """With what the server has."""
        for id in stored:
            if id not in self._seen:
                self._wrong("channelLost", id=id)
        known = set(stored)
        if [id for id in self._seen if id in known] != [id for id in stored if id in self._seen]:
            self._wrong("channelDisorder")
