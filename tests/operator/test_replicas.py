"""The operator with real replicas of the server, in this process."""

from __future__ import annotations

import contextlib
import json

import httpx

from heliograph.settings import Settings
from tests.operator.stage import Stage, until
from tests.support.server import RunningServer, serve

POLLING = "/ws/socket.io/?EIO=4&transport=polling"


async def test_settings_and_a_drain_on_two_replicas(stage: Stage, settings: Settings) -> None:
    kubernetes = stage.kubernetes
    chosen = {
        **settings.model_dump(),
        **{name.lower(): value for name, value in stage.environment.items()},
        "redis_key_prefix": stage.prefix,
        "replica_lease_seconds": 10,
    }
    async with contextlib.AsyncExitStack() as stack:
        named = [Settings.model_validate({**chosen, "pod_name": f"fleet-{n}"}) for n in (1, 2)]
        one = await stack.enter_async_context(serve(named[0]))
        two = RunningServer(named[1])
        stack.push_async_callback(two.stop)
        await two.start()
        await kubernetes.pod("fleet-1")
        await kubernetes.pod("fleet-2")
        await kubernetes.gateway(settings={"pingIntervalSeconds": 7})
        ann = await (await one.signup("ann")).connect()
        async with stage.operator(), httpx.AsyncClient() as http:
            await until(lambda: kubernetes.condition("SettingsApplied") == ("True", "Applied"))
            await until(lambda: kubernetes.status().get("connections") == 1)
            assert kubernetes.status()["settings"]["pingIntervalSeconds"] == 7
            told = json.loads((await http.get(f"{two.url}{POLLING}")).text[1:])
            assert told["pingInterval"] == 7000

            await kubernetes.annotate("fleet-1", "true")
            await until(lambda: not ann.client.connected)
            await until(lambda: kubernetes.events("DrainFinished"))
            assert (await http.get(f"{one.url}{POLLING}")).status_code == 503
            assert (await http.get(f"{two.url}{POLLING}")).status_code == 200

            await kubernetes.annotate("fleet-1", None)
            await until(lambda: one.services.drain.state == "running")
            assert (await http.get(f"{one.url}{POLLING}")).status_code == 200
