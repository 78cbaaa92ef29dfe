"""A bare replica as a program that tests can kill and freeze, see :mod:`tests.support.bare`.

It says what happens as lines of JSON. The event ``join`` lets a client into the room it names,
``leave`` out of it; both are acknowledged.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from heliograph.backplane import Backplane, RedisConfig
from heliograph.delivery import Inbound, Session
from heliograph.settings import load_settings
from heliograph.telemetry import configure_logging
from tests.support.bare import bare_server


def say(what: str, **more: Any) -> None:
    print(json.dumps({"say": what, **more}), flush=True)  # noqa: T201 (its only way to speak)


async def main() -> None:
    settings = load_settings()
    configure_logging("plain", "warning")  # to standard error
    backplane = Backplane(RedisConfig.from_settings(settings))
    await backplane.start()
    async with bare_server(
        backplane=backplane,
        recovery_seconds=settings.connection_recovery_seconds,
        lease_seconds=settings.replica_lease_seconds,
        **json.loads(sys.argv[1]),
    ) as bare:

        async def obey(session: Session, event: Inbound) -> None:
            if event.name == "join":
                await bare.hub.join(session, *event.args[0])
            else:
                bare.hub.leave(session, event.args[0])
                await bare.hub.settled(session)
            assert event.ack_id is not None
            session.acknowledge(event.ack_id, True)

        bare.on_event = obey
        bare.lifecycle.on_ended.append(lambda session: say("ended", sid=session.sid))
        bare.lifecycle.on_moved.append(lambda session: say("moved", sid=session.sid))
        say("started", url=bare.url, id=bare.cluster.replica.id)
        await asyncio.to_thread(sys.stdin.readline)


asyncio.run(main())
