"""Clients that lose their connection at random and come back anywhere, while all is busy.

Checked for every client and room it is in: each number comes once and in order, as long as the
server says that it recovered; where it does not, the client has begun anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from dataclasses import dataclass, field
from typing import Any

from websockets.exceptions import ConnectionClosed

from heliograph.delivery import Session
from tests.support.bare import Bare, Run, until
from tests.support.raw import Raw

ROOMS = ["channel:a", "channel:b", "channel:c"]
CLIENTS = 30
SECONDS = 6.0


@dataclass
class Hopper:
    """One client, and what it got of each room."""

    raw: Raw
    stays: bool
    got: dict[str, list[int]] = field(default_factory=dict)
    recovered: int = 0
    refused: int = 0
    done: bool = False
    quiet: bool = False

    async def live(self, servers: list[Bare], dice: random.Random) -> None:
        await self.raw.connect()
        while not self.done:
            reading = asyncio.create_task(self._read())
            await asyncio.sleep(dice.uniform(0.05, 1.0))
            await self._change_rooms(servers, dice)
            await self.raw.cut()
            with contextlib.suppress(ConnectionClosed):
                await reading
            self.raw.go_to(dice.choice(servers))
            await self._return()
        self.quiet = True
        while not self._take(str(await asyncio.wait_for(self.raw.ws.recv(), 20))):
            pass

    async def _return(self) -> None:
        while True:
            try:
                back = await self.raw.back()
            except ConnectionClosed:
                continue  # somebody else took it over meanwhile, which is us, earlier
            self.recovered += back
            self.refused += not back
            if not back:
                self.got.clear()
            return

    async def _change_rooms(self, servers: list[Bare], dice: random.Random) -> None:
        for bare in servers:
            session: Session | None = bare.hub.sessions.get(self.raw.sid)
            if session is None:
                continue
            room = dice.choice(ROOMS)
            if room not in session.positions:
                await bare.hub.join(session, room)
            elif not self.stays and dice.random() < 0.3:
                bare.hub.leave(session, room)
                await bare.hub.settled(session)

    async def _read(self) -> None:
        while True:
            self._take(str(await self.raw.ws.recv()))

    def _take(self, text: str) -> bool:
        if not text.startswith("42"):
            return False
        _, said, self.raw.offset = json.loads(text[2:])
        if said == "end":
            return True
        self.got.setdefault(said["room"], []).append(said["n"])
        return False


async def _publish(servers: list[Bare], counts: dict[str, int], dice: random.Random) -> None:
    while True:
        room = dice.choice(ROOMS)
        counts[room] += 1
        data: dict[str, Any] = {"room": room, "n": counts[room]}
        await dice.choice(servers).hub.publish(room, "e", data)
        await asyncio.sleep(0.002)


async def test_clients_that_hop_between_replicas_get_everything_once_and_in_order(
    replica: Run,
) -> None:
    async with replica() as a, replica() as b, replica() as c:
        servers = [a, b, c]
        dice = random.Random(5)
        hoppers = [
            Hopper(Raw(dice.choice(servers), f"user{n}"), stays=n % 2 == 0) for n in range(CLIENTS)
        ]
        counts = dict.fromkeys(ROOMS, 0)
        publishing = asyncio.create_task(_publish(servers, counts, dice))
        lives = [asyncio.create_task(hopper.live(servers, dice)) for hopper in hoppers]
        await asyncio.sleep(SECONDS)
        publishing.cancel()
        for hopper in hoppers:
            hopper.done = True
        await until(lambda: all(hopper.quiet for hopper in hoppers))
        await until(
            lambda: sum(s.live for bare in servers for s in bare.hub.sessions.values()) >= CLIENTS,
            timeout=20,
        )
        for n in range(CLIENTS):
            await a.hub.publish(f"user:user{n}", "e", "end")
        await asyncio.gather(*lives)
        assert sum(hopper.refused for hopper in hoppers) == 0
        assert sum(hopper.recovered for hopper in hoppers) > CLIENTS
        for hopper in hoppers:
            for room, numbers in hopper.got.items():
                assert numbers == sorted(set(numbers)), f"{room}: twice, or out of order"
                if hopper.stays:  # who left and joined again has a hole there
                    assert numbers == list(range(numbers[0], counts[room] + 1)), room
