"""Waiting at the start for services that start at the same time, as in a cluster.

What cannot be used yet is said once for each reason; when the time is over, the last reason is
the error. Nothing is skipped: what would fail without waiting fails after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from heliograph.errors import ConfigurationError

T = TypeVar("T")

_PAUSE_SECONDS = 0.5


async def patiently(
    attempt: Callable[[], Awaitable[T]], seconds: float, say: Callable[[str], object]
) -> T:
    """The result of ``attempt``, tried again for ``seconds`` while it raises
    :class:`ConfigurationError`; ``say`` is told each new reason.

    :raises ConfigurationError: the last one.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    told = ""
    while True:
        try:
            return await attempt()
        except ConfigurationError as error:
            if loop.time() >= until:
                raise
            if str(error) != told:
                told = str(error)
                say(f"waiting: {told}")
        await asyncio.sleep(_PAUSE_SECONDS)
