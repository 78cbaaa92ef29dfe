"""The links to one master: kept up while it is one, opened again when they break.

A node is up when all its links are: commands, subscriptions and (with replicated delivery)
one for writes that wait for a replica, so that nothing else waits with them. Before that
the server has been greeted as a master of a known version and has our functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Any

from heliograph.backplane.config import Address, RedisConfig
from heliograph.backplane.functions import LIBRARY
from heliograph.backplane.link import Link, LinkLost, ReplyError, open_link
from heliograph.telemetry import get_logger, metrics

log = get_logger(__name__)

OLDEST = (7, 0)
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 0.5


class NotUsable(Exception):
    """The server is there, but cannot serve us: a replica, too old, or it refuses us."""


class Node:
    """One master.

    :ivar commands: link for commands, while up. :ivar durable: for writes that wait.
    :ivar subscriber: for subscriptions.
    :ivar term: differs after every start of every server: who gave out the sequences.
    :ivar trouble: why it is not up; empty when it is.
    """

    def __init__(
        self,
        address: Address,
        config: RedisConfig,
        *,
        on_up: Callable[[Node], None],
        on_down: Callable[[Node], None],
        on_push: Callable[[Node, list[Any]], None],
    ) -> None:
        self.address = address
        self.commands: Link | None = None
        self.durable: Link | None = None
        self.subscriber: Link | None = None
        self.term = ""
        self.trouble = "not connected yet"
        self._config = config
        self._on_up = on_up
        self._on_down = on_down
        self._on_push = on_push
        self._links: list[Link] = []
        self._task = asyncio.create_task(self._keep_up(), name=f"redis {address}")

    @property
    def up(self) -> bool:
        """Whether it can be used."""
        return self.commands is not None

    def close(self, reason: str) -> None:
        """It is no master of ours any more."""
        self._task.cancel()
        self._drop(reason)

    def reconnect(self, reason: str) -> None:
        """Give up the present links and open others."""
        for link in self._links:
            link.close(reason)

    async def _keep_up(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._connect()
            except (OSError, LinkLost, ReplyError, NotUsable) as error:
                self._drop(f"{self.address}: {str(error) or 'no answer'}")
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311
                pause = min(2 * pause, _LAST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            self.trouble = ""
            self._on_up(self)
            lost = [link.lost for link in self._links]
            done, _ = await asyncio.wait(lost, return_when=asyncio.FIRST_COMPLETED)
            reason = next(iter(done)).result()
            metrics.BACKPLANE_LOST.inc()
            log.warning("redis.link_lost", address=str(self.address), reason=reason)
            self._drop(f"{self.address}: {reason}")

    async def _connect(self) -> None:
        commands, said = await self._open(None)
        if said.get(b"role") != b"master":
            raise NotUsable(f"it is a {said.get(b'role', b'server of another kind').decode()}")
        version = tuple(int(part) for part in said[b"version"].split(b".")[:2])
        if version < OLDEST:
            raise NotUsable(f"Redis {said[b'version'].decode()} is too old: 7.0 is needed")
        await self.load_functions(commands)
        info = await commands.ask("INFO", "server")
        self.term = info.split(b"run_id:", 1)[1][:10].decode()
        subscriber, _ = await self._open(lambda push: self._on_push(self, push))
        durable = (await self._open(None))[0] if self._config.replicated else commands
        self.commands, self.subscriber, self.durable = commands, subscriber, durable
        for link in self._links:
            link.keep_checking(self._config.check_every, self._config.silence)

    async def _open(
        self, on_push: Callable[[list[Any]], None] | None
    ) -> tuple[Link, dict[bytes, Any]]:
        config = self._config
        link, said = await open_link(
            self.address,
            timeout=config.connect_timeout,
            tls=config.tls,
            username=config.username,
            password=config.password,
            database=config.database,
            on_push=on_push,
        )
        self._links.append(link)
        return link, said

    async def load_functions(self, link: Link) -> None:
        """Make sure that the server has our functions.

        :raises NotUsable: it refuses them.
        """
        try:
            async with asyncio.timeout(self._config.connect_timeout):
                await link.ask("FUNCTION", "LOAD", LIBRARY)
        except ReplyError as error:
            if "already exists" not in str(error):
                raise NotUsable(f"it refuses our functions: {error}") from None

    def _drop(self, reason: str) -> None:
        was_up = self.up
        self.trouble = reason
        self.commands = self.subscriber = self.durable = None
        links, self._links = self._links, []
        for link in links:
            link.close(reason)
        if was_up:
            self._on_down(self)

    async def wait_closed(self) -> None:
        """Wait for the end after :meth:`close`."""
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
