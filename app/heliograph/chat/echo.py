"""The built-in model: answers word by word what it was asked, and runs tools by name.

It speaks in OpenAI's chunks like any upstream, so a fresh install exercises everything
that a real model does. ``/name {json}`` calls the tool ``name``; its result is the answer.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from heliograph.chat.models import Chunk
from heliograph.chat.text import text_of

ECHO = "echo"
_WORD = re.compile(r"\s*\S{1,200}|\s+")
_COMMAND = re.compile(r"\s*/([A-Za-z0-9_-]{1,64})(?:\s+(.*))?", re.DOTALL)


class Echo:
    """The echo model.

    :param delay: pause between words, seconds.
    """

    def __init__(self, delay: float) -> None:
        self._delay = delay

    async def models(self) -> list[dict[str, Any]]:
        """Itself."""
        return [{"id": ECHO, "name": "Echo", "object": "model", "owned_by": "heliograph"}]

    async def chunks(self, body: dict[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The last message again, or a call of the tool it names."""
        answer_id = f"chatcmpl-{uuid.uuid4().hex}"
        created = int(time.time())

        def chunk(delta: dict[str, Any], finish: str | None = None) -> Chunk:
            return {
                "id": answer_id,
                "object": "chat.completion.chunk",
                "created": created,
                "model": ECHO,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }

        messages = body.get("messages") or [{}]
        last = messages[-1] if isinstance(messages[-1], dict) else {}
        if last.get("role") != "tool":
            last = next((m for m in reversed(messages) if m.get("role") == "user"), last)
        text = text_of(last.get("content"))
        call = _command(text, body) if last.get("role") == "user" else None
        if call is not None:
            yield chunk({"role": "assistant", "tool_calls": [call]})
            yield chunk({}, "tool_calls")
            return
        yield chunk({"role": "assistant", "content": ""})
        for count, word in enumerate(_WORD.findall(text)):
            if count:
                await asyncio.sleep(self._delay)
            yield chunk({"content": word})
        yield chunk({}, "stop")


def _command(text: str, body: dict[str, Any]) -> dict[str, Any] | None:
    found = _COMMAND.fullmatch(text)
    if found is None:
        return None
    name, arguments = found[1], (found[2] or "").strip() or "{}"
    offered = {tool["function"]["name"] for tool in body.get("tools") or []}
    if name not in offered:
        return None
    function = {"name": name, "arguments": arguments}
    return {"index": 0, "id": f"call_{uuid.uuid4().hex}", "type": "function", "function": function}
