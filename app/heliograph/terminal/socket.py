"""python-socketio's client, but for one fault: over polling it may give up coming back.

When an answer breaks off, or its body comes later than its headers, just as it reconnects (a node
that dies, a proxy's 504), python-engineio raises what its reconnection does not expect, and ends
without a word. ``tests/unit/terminal`` shows which answers do that.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import socketio


class Client(socketio.AsyncClient):  # type: ignore[misc]
    """A client that goes on trying."""

    async def connect(self, *args: Any, **kwargs: Any) -> None:
        """As the library's.

        :raises socketio.exceptions.ConnectionError: for whatever kept it from connecting.
        """
        try:
            await super().connect(*args, **kwargs)
        except (aiohttp.ClientError, TimeoutError, RuntimeError, IndexError) as error:
            why = f"{type(error).__name__}: {error}"
            raise socketio.exceptions.ConnectionError(why) from error
