"""Clients of all kinds as one crowd: Node and Python, polling, websocket, and both.

    crowd = Crowd(await prepare(url, 200, …), connection={…})
    await crowd.start()
    await crowd.settled(30)         # all connected, all have read what they had to
    …
    report = await crowd.stop(60)

A *way* is how a client connects: ``websocket``, ``polling`` and ``upgrade`` are stock
``socket.io-client`` outside a browser, whose cookies end with a connection; ``browser`` upgrades
and gives cookies back when it returns, and ``page`` leaves a replica that drains as the page of
this project does; ``python-websocket`` and ``python-polling`` are python-socketio, whose cookies
end with a connection, too, and which do not recover.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from tests.clients.history import FAILINGS, NODE, PYTHON, Watchers

WAYS: Mapping[str, int] = {
    "websocket": 30,
    "polling": 15,
    "upgrade": 15,
    "page": 25,
    "browser": 5,
    "python-websocket": 6,
    "python-polling": 4,
}
"""How many in a hundred connect in which way."""


def share(people: int, ways: Mapping[str, int]) -> list[str]:
    """A way for each of ``people``, as near to the weights ``ways`` as whole people allow."""
    whole = sum(ways.values())
    given = dict.fromkeys(ways, 0)
    chosen = []
    for number in range(1, people + 1):
        # Whoever lacks most: so the first few are mixed, too.
        way = max(ways, key=lambda way: ways[way] * number / whole - given[way])
        given[way] += 1
        chosen.append(way)
    return chosen


class Crowd:
    """All of them, in a process for each library.

    :ivar ways: of each person, by the name that facts have.
    """

    def __init__(
        self,
        scene: dict[str, Any],
        *,
        ways: Mapping[str, int] = WAYS,
        connection: Mapping[str, Any] | None = None,
    ) -> None:
        self.ways: dict[int | str, str] = {}
        node: list[dict[str, Any]] = []
        python: list[dict[str, Any]] = []
        for person, way in zip(scene["people"], share(len(scene["people"]), ways), strict=True):
            if way.startswith("python-"):
                self.ways[f"python-{len(python)}"] = way
                python.append({**person, "way": way.removeprefix("python-")})
            else:
                self.ways[len(node)] = way
                node.append({**person, "way": way})
        shared = {**scene, "connection": dict(connection or {})}
        self._watchers = [
            Watchers({**shared, "people": people}, command)
            for people, command in ((node, NODE), (python, PYTHON))
            if people
        ]

    async def start(self) -> None:
        """Start them; returns at once."""
        for watchers in self._watchers:
            await watchers.start()

    @property
    def facts(self) -> list[dict[str, Any]]:
        """What happened to single clients, by time."""
        told = [fact for watchers in self._watchers for fact in watchers.facts]
        return sorted(told, key=lambda fact: float(fact["at"]))

    @property
    def status(self) -> dict[str, Any]:
        """How things are with all of them; see ``lib/report.js``."""
        told = [watchers.status for watchers in self._watchers]
        counted = ("connected", "opened", "events", "answers", "disconnects", "wrong")
        whole: dict[str, Any] = {key: sum(each.get(key, 0) for each in told) for key in counted}
        whole["people"] = len(self.ways)
        whole["at"] = min((each.get("at", 0) for each in told), default=0)
        for key in ("since", "silentSince"):
            times = [each[key] for each in told if each.get(key) is not None]
            whole[key] = min(times, default=None)
        return whole

    async def until(
        self, condition: Callable[[dict[str, Any]], bool], what: str, timeout: float
    ) -> None:
        """Wait for a condition of the status.

        :raises TimeoutError: it did not come; says ``what`` and how things are.
        """
        deadline = time.monotonic() + timeout
        while not condition(self.status):
            if time.monotonic() > deadline:
                status = {key: value for key, value in self.status.items() if value is not None}
                raise TimeoutError(f"Not within {timeout:g} s: {what}. Clients: {status}")
            await asyncio.sleep(0.1)

    async def settled(self, timeout: float, *, silence: float = 2) -> None:
        """Wait until all are connected, have read what they had to, and get events again.

        :param silence: time between two events that is none, s.
        :raises TimeoutError: they did not.
        """
        asked = time.time() * 1000

        def well(status: dict[str, Any]) -> bool:
            silent = status["silentSince"]
            return bool(
                status["at"] > asked  # and not how it was before something happened
                and status["opened"] == status["connected"] == status["people"]
                and silent is not None
                and status["at"] - silent < silence * 1000
            )

        await self.until(well, "all clients connected, with events", timeout)

    async def stop(self, timeout: float) -> dict[str, Any]:
        """Let them finish and compare; one report of all."""
        await asyncio.gather(*(watchers.settle(timeout) for watchers in self._watchers))
        reports = await asyncio.gather(*(watchers.compare(timeout) for watchers in self._watchers))
        return merge(reports)

    async def kill(self) -> None:
        """End them now."""
        for watchers in self._watchers:
            await watchers.kill()


def merge(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """One report of several."""
    whole: dict[str, Any] = {}
    for key in reports[0]:
        values = [report[key] for report in reports]
        if key in FAILINGS:
            whole[key] = [each for value in values for each in value]
        elif key == "refusals":
            whole[key] = {}
            for value in values:
                for error, count in value.items():
                    whole[key][error] = whole[key].get(error, 0) + count
        elif key == "seconds" or key.startswith("longest"):
            whole[key] = max(values)
        else:
            whole[key] = sum(values)
    return whole
