"""Plain OpenAI answers, for requests without a session: nothing is stored, nothing emitted."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson

from heliograph.chat.models import Chunk, Model, UpstreamError
from heliograph.chat.turn import Turn
from heliograph.errors import HeliographError


async def plain_answer(model: Model, body: dict[str, Any]) -> dict[str, Any]:
    """One whole ``chat.completion``.

    :raises UpstreamError: the model failed.
    """
    turn = Turn()
    last: Chunk = {}
    finish = "stop"
    async with contextlib.aclosing(model.chunks(body)) as chunks:
        async for chunk in chunks:
            turn.add(chunk)
            last = chunk
            for choice in chunk.get("choices") or []:
                if "message" in choice:
                    return chunk  # it came whole
                finish = choice.get("finish_reason") or finish
    message: dict[str, Any] = {"role": "assistant", "content": "".join(turn.text)}
    if turn.calls:
        message["tool_calls"] = [call.as_dict() for call in turn.calls]
    return {
        "id": last.get("id"),
        "object": "chat.completion",
        "created": last.get("created"),
        "model": last.get("model"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        **({"usage": turn.usage} if turn.usage is not None else {}),
    }


async def plain_stream(model: Model, body: dict[str, Any]) -> AsyncIterator[bytes]:
    """Server-sent events in OpenAI's shape, after the first chunk has come.

    :raises UpstreamError: the model failed before its first chunk. Later faults are an
        ``error`` object in the stream, which then ends without ``[DONE]``.
    """
    chunks = model.chunks(body)
    try:
        first = await anext(chunks)
        Turn().add(first)
    except StopAsyncIteration:
        return _lines(None, chunks)
    except BaseException:
        await chunks.aclose()
        raise
    return _lines(first, chunks)


async def _lines(
    first: Chunk | None, rest: AsyncGenerator[Chunk, None]
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(rest):
        try:
            if first is not None:
                yield _line(_as_chunk(first))
                async for chunk in rest:
                    if chunk.get("error"):
                        Turn().add(chunk)
                    yield _line(_as_chunk(chunk))
        except UpstreamError as error:
            yield _line({"error": _shown(error)})
            return
        yield b"data: [DONE]\n\n"


def _as_chunk(chunk: Chunk) -> Chunk:
    """A whole completion as the one chunk of a stream."""
    choices = chunk.get("choices")
    if not isinstance(choices, list) or not any("message" in choice for choice in choices):
        return chunk
    deltas = [
        {**{k: v for k, v in choice.items() if k != "message"}, "delta": choice.get("message")}
        for choice in choices
    ]
    return {**chunk, "object": "chat.completion.chunk", "choices": deltas}


def _line(value: Any) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _shown(error: HeliographError) -> dict[str, Any]:
    return {"message": error.message, "code": error.code}
