"""The OpenAI-compatible upstream: requests, streams and everything that may go wrong.

Each fault becomes an :class:`UpstreamError` with a code and a sentence for the user,
with what the upstream itself said; its key never appears in one.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from httpx_sse import EventSource

from heliograph.chat.models import Chunk, UpstreamError
from heliograph.chat.turn import error_text, is_last, malformed

_KEY = re.compile(r"sk-[A-Za-z0-9_\-*.]{4,}")
_CONNECT_SECONDS = 10.0
_LIST_SECONDS = 15.0
_MAX_ERROR_BYTES = 64 * 1024

# What the upstream says about the request itself is passed on with its own status; the
# rest (a bad key, a failing server) is not the caller's fault.
_CALLERS_FAULT = {400, 404, 413, 422, 429}


class Upstream:
    """Client of one upstream.

    :param base_url: e.g. ``https://api.example/v1``.
    :param silence: longest pause of the upstream in an answer, seconds.
    """

    def __init__(self, base_url: str, key: str, silence: float) -> None:
        self._base = base_url.rstrip("/")
        self._host = urlsplit(base_url).hostname or base_url
        self._key = key
        self._silence = silence
        self._client = httpx.AsyncClient(
            # Certificates take a tenth of a second to load, and plain HTTP needs none.
            verify=not base_url.startswith("http://"),
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(silence, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def models(self) -> list[dict[str, Any]]:
        """``[{id, name, …}]``.

        :raises UpstreamError: it cannot say.
        """
        with_timeout = httpx.Timeout(_LIST_SECONDS, connect=_CONNECT_SECONDS)
        async with self._faults():
            response = await self._client.get(f"{self._base}/models", timeout=with_timeout)
            await self._refuse_bad(response)
            listed = _json(response.content)
        entries = listed.get("data")
        if not isinstance(entries, list):
            raise malformed("the list of models has no data")
        return [
            {**entry, "name": str(entry.get("name") or entry["id"])}
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("id"), str)
        ]

    async def chunks(self, body: dict[str, Any]) -> AsyncGenerator[Chunk, None]:
        """The answer, chunk by chunk; one whole completion when the upstream does not stream.

        :raises UpstreamError: it failed, at any point.
        """
        url = f"{self._base}/chat/completions"
        async with self._faults(), self._client.stream("POST", url, json=body) as response:
            await self._refuse_bad(response)
            if "text/event-stream" not in response.headers.get("content-type", ""):
                yield _json(await response.aread())
                return
            complete = False
            async for event in EventSource(response).aiter_sse():
                if event.data == "[DONE]":
                    return
                if not event.data:
                    continue
                chunk = _json(event.data)
                complete = complete or is_last(chunk)
                yield chunk
            if not complete:
                raise _cut()

    async def _refuse_bad(self, response: httpx.Response) -> None:
        if response.status_code < 300:
            return
        text = ""
        async for piece in response.aiter_text():
            text += piece
            if len(text) > _MAX_ERROR_BYTES:
                break
        try:
            said = orjson.loads(text)
            said = error_text(said.get("error", said) if isinstance(said, dict) else said)
        except orjson.JSONDecodeError:
            said = error_text(re.sub(r"<[^>]*>|\s+", " ", text[:2_000]))
        status = response.status_code
        if status == 429:
            raise UpstreamError(
                f"The model is being asked too much right now: {self._scrub(said)}",
                code="upstream_rate_limited",
                status=429,
            )
        raise UpstreamError(
            f"The model refused with status {status}: {self._scrub(said)}",
            status=status if status in _CALLERS_FAULT else 502,
        )

    @asynccontextmanager
    async def _faults(self) -> AsyncIterator[None]:
        try:
            yield
        except httpx.ConnectTimeout as error:
            raise self._unreachable("it does not answer") from error
        except httpx.TimeoutException as error:
            raise UpstreamError(
                f"The model sent nothing for {self._silence:g} s.",
                code="upstream_silent",
                status=504,
            ) from error
        except httpx.ConnectError as error:
            raise self._unreachable(str(error) or "it cannot be reached") from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            raise _cut() from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unreachable(str(error)) from error

    def _unreachable(self, why: str) -> UpstreamError:
        return UpstreamError(
            f"The model's server {self._host} cannot be reached: {self._scrub(why)}.",
            code="upstream_unreachable",
        )

    def _scrub(self, text: str) -> str:
        if self._key:
            text = text.replace(self._key, "…")
        return _KEY.sub("…", text)


def _cut() -> UpstreamError:
    return UpstreamError(
        "The model's answer was cut off in mid-stream; what had arrived is kept.",
        code="upstream_cut",
    )


def _json(text: str | bytes) -> Chunk:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _mended(text)
    if not isinstance(value, dict):
        raise malformed("a line that is not a JSON object")
    return value


def _mended(text: str | bytes) -> Any:
    # Half a surrogate pair, which some servers cut a character into, is JSON to the
    # standard library only; the stream joins the halves.
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise malformed("a line that is not JSON") from None
