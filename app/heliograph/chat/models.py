"""What a model is to us: a source of OpenAI chunks. And which ones there are.

The upstream, the built-in echo and a model in the user's own browser all answer with
dicts in the shape of OpenAI's ``chat.completion.chunk``; above this nobody asks which.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any, Protocol

from heliograph.errors import HeliographError, NotFound

_FRESH_SECONDS = 60.0
_RECHECK_SECONDS = 5.0

Chunk = dict[str, Any]


class UpstreamError(HeliographError):
    """The model's side failed.

    Codes: ``upstream_unreachable``, ``upstream_rate_limited``, ``upstream_error`` (an answer
    that is an error), ``upstream_cut`` (ended in mid-stream), ``upstream_malformed``,
    ``upstream_silent``.
    """

    code = "upstream_error"
    status = 502

    def __init__(self, message: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(message, code=code)
        if status is not None:
            self.status = status


class Model(Protocol):
    """Answers requests."""

    def chunks(self, body: dict[str, Any], /) -> AsyncGenerator[Chunk, None]:
        """The answer to an OpenAI request, piece by piece: chunks, or one whole completion.

        :raises UpstreamError: it failed, at any point.
        """


class Catalogue(Model, Protocol):
    """A model server: answers, and says which models it has."""

    async def models(self) -> list[dict[str, Any]]:
        """``[{id, name, …}]``."""


class ModelList:
    """The models of a server, asked for at most once in :data:`_FRESH_SECONDS`."""

    def __init__(self, server: Catalogue) -> None:
        self._server = server
        self._models: list[dict[str, Any]] = []
        self._asked_at = -_FRESH_SECONDS
        self._asking = asyncio.Lock()

    async def all(self, *, at_most: float = _FRESH_SECONDS) -> list[dict[str, Any]]:
        """``[{id, name, …}]``.

        :param at_most: age in seconds that is fresh enough.
        :raises UpstreamError: the server cannot say.
        """
        async with self._asking:
            if time.monotonic() - self._asked_at >= at_most:
                self._models = await self._server.models()
                self._asked_at = time.monotonic()
            return self._models

    async def check(self, model: str) -> None:
        """Refuse a model that the server does not have.

        A server that cannot list its models is not asked twice: its answer to the
        request itself will say what is wrong.

        :raises NotFound: ``model_unknown``.
        """
        for at_most in (_FRESH_SECONDS, _RECHECK_SECONDS):  # it may be a new one
            try:
                models = await self.all(at_most=at_most)
            except UpstreamError:
                return
            if not models or any(known["id"] == model for known in models):
                return
        raise NotFound(f"no model {model}", code="model_unknown", path="model")
