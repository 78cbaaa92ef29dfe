"""This replica in the hands of an operator: settings, drain, shedding, and what it reports.

What counts is in keys of Redis, so that neither side has to be there when the other writes:
settings stay in force without an operator, and a replica that starts reads them first. Messages
on the channel are hints to read the keys again, which also happens after every cut of the line.

Guarantee: a value that is unknown or out of bounds changes nothing and is reported as refused.
Limit: a drain that was ordered is undone only by who ordered it, not by a lost Redis.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from typing import Any

import orjson

from heliograph.backplane import Backplane
from heliograph.cluster import Replica
from heliograph.control.keys import Keys
from heliograph.control.report import Facts
from heliograph.delivery import Drain, Shed
from heliograph.errors import HeliographError
from heliograph.live import Live
from heliograph.telemetry import get_logger

log = get_logger(__name__)

REPORT_SECONDS = 2.0
"""How often a report is written, if nothing changes."""

_REPORT_LIFE_SECONDS = 10
_MAX_COMMAND = 64 * 1024


class Control:
    """The replica's end of the line. Enter it when everything else has started.

    :param pod: name by which the operator knows this process; empty: the host's name.
    """

    def __init__(
        self,
        backplane: Backplane,
        replica: Replica,
        live: Live,
        drain: Drain,
        shed: Shed,
        facts: Facts,
        *,
        pod: str = "",
    ) -> None:
        self._backplane = backplane
        self._replica = replica
        self._live = live
        self._drain = drain
        self._shed = shed
        self._facts = facts
        self._pod = pod or socket.gethostname()
        self._keys = Keys.of(backplane)
        self._revision = ""
        self._refused: tuple[str, str] | None = None
        self._ordered = False  # the drain that runs is the operator's
        self._ending = False
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Control:
        """Put what was ordered in force, then listen.

        :raises Unavailable: Redis does not answer.
        """
        self._backplane.listen(self._keys.commands, self._heard, self._look.set)
        await self._obey()
        self._tasks = [
            asyncio.create_task(self._facts.lag.run(), name="loop lag"),
            asyncio.create_task(self._run(), name="control"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Obey and report no more."""
        self.leave()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shed.stop()

    def leave(self) -> None:
        """The replica ends: whatever is ordered now, it is drained and stays so."""
        self._ending = True

    # -- obeying -----------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            try:
                await self._obey()
                await self._report()
            except HeliographError as error:
                log.warning("control.not_reached", error=error.message)
            except Exception:
                log.exception("control.failed")
            try:
                async with asyncio.timeout(REPORT_SECONDS):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()

    async def _obey(self) -> None:
        get = self._backplane.execute
        settings, drain = await asyncio.gather(
            get("GET", self._keys.settings), get("HGET", self._keys.drains, self._pod)
        )
        self._tune(settings)
        await self._drain_or_not(drain)

    def _tune(self, stored: bytes | None) -> None:
        """Put settings in force, unless they are already."""
        revision, values = "", {}
        if stored is not None:
            try:
                read = orjson.loads(stored)
                revision, values = str(read["revision"])[:200], read["values"]
                if not isinstance(values, Mapping):
                    raise TypeError("values is no object")
            except (ValueError, TypeError, KeyError) as error:
                self._refuse("?", f"what is stored cannot be read: {error!r}"[:300])
                return
        if revision == self._revision:
            self._refused = None
            return
        if self._refused is not None and self._refused[0] == revision:
            return
        try:
            self._live.override(values)
        except HeliographError as error:
            self._refuse(revision, error.message[:300])
            return
        self._revision, self._refused = revision, None
        log.info("control.settings", revision=revision, **self._live.as_dict())

    def _refuse(self, revision: str, why: str) -> None:
        if self._refused != (revision, why):
            log.error("control.settings_refused", revision=revision, error=why)
        self._refused = (revision, why)

    async def _drain_or_not(self, order: bytes | None) -> None:
        if self._ending:
            return
        if order is not None and self._drain.running:
            self._ordered = True
            self._drain.begin(f"the operator: {_why(order)}", for_good=False)
        elif order is None and self._ordered:
            self._ordered = False
            await self._drain.cancel()

    def _heard(self, data: bytes) -> None:
        try:
            if len(data) > _MAX_COMMAND:
                raise ValueError("too long")
            command = orjson.loads(data)
            match command["action"]:
                case "settings" | "drains":
                    self._look.set()
                case "shed":
                    self._shed_some(command["replica"], command["count"])
                case action:
                    raise ValueError(f"unknown action {action!r:.50}")
        except (ValueError, TypeError, KeyError) as error:
            # Anybody may write to this channel.
            log.warning("control.command_ignored", error=repr(error), command=data[:200])

    def _shed_some(self, replica_id: Any, count: Any) -> None:
        if replica_id != self._replica.id or self._ending or not self._drain.running:
            return
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ValueError(f"count: a number of clients, got {count!r:.50}")
        self._shed.begin(count)

    # -- reporting ---------------------------------------------------------------------

    async def _report(self) -> None:
        report = {
            "replica": self._replica.id,
            "pod": self._pod,
            "at": time.time(),
            "revision": self._revision,
            "refused": self._refused,
            **self._facts.read(),
        }
        key = self._keys.report(self._replica.id)
        await self._backplane.execute(
            "SET", key, orjson.dumps(report), "EX", _REPORT_LIFE_SECONDS, timeout=REPORT_SECONDS
        )


def _why(order: bytes) -> str:
    """The reason in an order; one that cannot be read is an order all the same."""
    try:
        return str(orjson.loads(order)["why"])[:300]
    except (ValueError, TypeError, KeyError):
        return "no reason given"
