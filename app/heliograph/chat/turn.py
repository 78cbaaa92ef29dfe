"""One turn of a model, gathered from its chunks: text as it comes, tool calls, usage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from heliograph.chat.models import Chunk, UpstreamError

_MAX_CALLS = 64
_MAX_ARGUMENTS = 1024 * 1024


@dataclass(slots=True)
class ToolCall:
    """A call of a tool; ``arguments`` is JSON text."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def as_dict(self) -> dict[str, Any]:
        """OpenAI's shape."""
        return {
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": self.arguments},
        }


@dataclass(slots=True)
class Turn:
    """What a model has said so far in this turn."""

    text: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    _by_index: dict[int, ToolCall] = field(default_factory=dict)

    def add(self, chunk: Chunk) -> str:
        """Take a chunk (or a whole completion) in and return the text it adds.

        :raises UpstreamError: it is an error, or not a chunk at all.
        """
        if chunk.get("error"):
            raise UpstreamError(f"The model failed: {error_text(chunk['error'])}")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            self.usage = usage
        choices = chunk.get("choices")
        if choices is None:
            return ""
        if not isinstance(choices, list):
            raise malformed("choices is not a list")
        added = ""
        for choice in choices:
            if not isinstance(choice, dict):
                raise malformed("a choice is not an object")
            if choice.get("index", 0) not in (0, None):
                continue
            said = choice.get("delta", choice.get("message")) or {}
            if not isinstance(said, dict):
                raise malformed("a delta is not an object")
            added += _text(said.get("content"))
            for number, part in enumerate(said.get("tool_calls") or []):
                self._add_call(number, part)
        if added:
            self.text.append(added)
        return added

    def _add_call(self, number: int, part: Any) -> None:
        function = part.get("function") if isinstance(part, dict) else None
        if not isinstance(part, dict) or not isinstance(function, dict | None):
            raise malformed("a tool call is not an object")
        index = part.get("index")
        if not isinstance(index, int):
            # Some servers leave it out: an id begins a call, what has none goes on with it.
            index = len(self._by_index) if part.get("id") else max(len(self._by_index) - 1, number)
        call = self._by_index.get(index)
        if call is None:
            if len(self.calls) >= _MAX_CALLS:
                raise UpstreamError(f"The model called more than {_MAX_CALLS} tools at once.")
            call = self._by_index[index] = ToolCall()
            self.calls.append(call)
        function = function or {}
        call.id = str(part.get("id") or call.id)
        call.name += str(function.get("name") or "")
        call.arguments += str(function.get("arguments") or "")
        if len(call.arguments) > _MAX_ARGUMENTS:
            raise UpstreamError("The model called a tool with more than 1 MiB of arguments.")


def is_last(chunk: Chunk) -> bool:
    """Whether the chunk says why the answer ends: a stream may end after it."""
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )


def _text(content: Any) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        texts = (part.get("text") for part in content if isinstance(part, dict))
        return "".join(text for text in texts if isinstance(text, str))
    raise malformed("content is not text")


def error_text(error: Any) -> str:
    """What an upstream's error object says, as a sentence."""
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("code") or error
    text = str(error).strip()
    return text[:1_000] if text else "it did not say why"


def malformed(what: str) -> UpstreamError:
    """The error of something that is not a chunk."""
    return UpstreamError(
        f"The model sent something that is not an OpenAI stream: {what}.",
        code="upstream_malformed",
    )
