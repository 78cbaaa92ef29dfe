"""What the operator does under load: settings, drains, scale-in, and its own death.

Like the other faults: each returns when the cluster is as it was before.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import httpx

from tests.kind.faults import REPLICAS, Scene, app_whole
from tests.kind.gateway import Gateway, PodLoad

FORCE_SECONDS = 5.0
DRAINED_SECONDS = 30.0
PING, LOCK = 17, 2
_HANDSHAKE = "/ws/socket.io/?EIO=4&transport=polling"


async def settings_changed(scene: Scene) -> None:
    """Settings changed by ``kubectl apply`` are in force on all pods, and nothing restarts."""
    cluster, gateway = scene.cluster, Gateway(scene.cluster)
    before = await cluster.pods("app")
    said = await gateway.refusal(pingIntervalSeconds=250, pingTimeoutSeconds=4000)
    scene.notes.append(f"refused: {said.splitlines()[-1][:160]}")
    await gateway.apply()
    await cluster.until(lambda: _applied(gateway), "the operator has seen the gateway", 60)
    assert await _pings(scene.url) == {25_000}
    applied = time.monotonic()
    await gateway.apply(pingIntervalSeconds=PING, lockTimeoutSeconds=LOCK)
    while await _pings(scene.url) != {PING * 1000}:
        await asyncio.sleep(0.1)
    ping = time.monotonic() - applied
    while not 0 < await scene.redis.left_ms(LOCK_KEY) <= LOCK * 1000:
        await asyncio.sleep(0.1)
    lock = time.monotonic() - applied
    await cluster.until(lambda: _applied(gateway), "the status says so", 30)
    scene.notes.append(f"ping after {ping:.1f} s, lock after {lock:.1f} s")
    # Each command of these looks takes a second of a busy machine.
    assert ping <= FORCE_SECONDS, f"new clients were told the new ping after {ping:.1f} s"
    assert lock <= FORCE_SECONDS + 2, f"the lock had the new expiry after {lock:.1f} s"
    after = await cluster.pods("app")
    assert [pod.name for pod in before] == [pod.name for pod in after], "pods were replaced"
    await gateway.apply()
    await cluster.until(lambda: _back(scene.url), "the environment's ping is in force again", 30)


LOCK_KEY = "heliograph:lock:{replicas}"


async def _applied(gateway: Gateway) -> bool:
    generation = (await gateway.read())["metadata"]["generation"]
    return await gateway.condition("SettingsApplied") == ("True", "Applied", generation)


async def _back(url: str) -> bool:
    return await _pings(url) == {25_000}


async def _pings(url: str) -> set[int]:
    """The ping interval that new clients of every replica are told, ms."""
    told, cookies = set(), Counter[str]()
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        for _ in range(REPLICAS * 10):
            http.cookies.clear()
            answer = await http.get(_HANDSHAKE)
            cookies.update(value for value in answer.cookies.values())
            if answer.status_code == 200:
                told.add(json.loads(answer.text[1:])["pingInterval"])
            if len(cookies) == REPLICAS:
                return told
    raise AssertionError(f"handshakes went to {len(cookies)} replicas of {REPLICAS}")


async def drained(scene: Scene) -> None:
    """``kubectl annotate pod … heliograph.dev/drain=true``, and taken back."""
    gateway = Gateway(scene.cluster)
    victim = await _busy(scene, gateway)
    began = time.monotonic()
    await gateway.drain(victim.name)
    await _empty(scene, gateway, victim.name)
    elapsed = time.monotonic() - began
    scene.notes.append(
        f"{victim.name}: {victim.connections} clients and {victim.tasks} tasks gone in "
        f"{elapsed:.1f} s"
    )
    await scene.settle(DRAINED_SECONDS)
    load = (await gateway.loads())[victim.name]
    assert (load.connections, load.tasks) == (0, 0), f"{victim.name} took somebody: {load}"
    assert elapsed <= DRAINED_SECONDS, f"{victim.name} was empty after {elapsed:.1f} s only"
    await gateway.undrain(victim.name)
    await scene.cluster.until(lambda: _takes(gateway, victim.name), "it takes clients again", 60)


async def scaled_in(scene: Scene) -> None:
    """From three replicas to two: the one with the fewest clients goes."""
    cluster, gateway = scene.cluster, Gateway(scene.cluster)
    loads = await _uneven(scene, gateway)
    least = min(pod.connections for pod in loads.values())
    counts = sorted(pod.connections for pod in loads.values())
    await cluster.kubectl("scale", scene.deployment, f"--replicas={REPLICAS - 1}")
    await app_whole(cluster, REPLICAS - 1)
    left = {pod.name for pod in await cluster.pods("app")}
    went = [pod for name, pod in loads.items() if name not in left]
    told = ", ".join(str(pod.connections) for pod in went)
    scene.notes.append(f"of pods with {counts} clients, the one with {told} went")
    assert [pod.connections for pod in went] == [least], (
        f"another one went than the emptiest: {loads}"
    )
    await cluster.kubectl("scale", scene.deployment, f"--replicas={REPLICAS}")
    await app_whole(cluster)


async def operator_killed(scene: Scene) -> None:
    """The operator is killed in the middle of a drain, which goes on; it takes it back later."""
    cluster, gateway = scene.cluster, Gateway(scene.cluster)
    victim = await _busy(scene, gateway)
    await gateway.drain(victim.name)
    await cluster.until(lambda: _begun(gateway, victim.name), "the drain has begun", 30)
    try:
        operators = await cluster.pods("operator")
        await cluster.delete_pods(*(pod.name for pod in operators), kill=True)
        await cluster.kubectl("scale", gateway.operator, "--replicas=0")
        await scene.settle(DRAINED_SECONDS)
    finally:
        await cluster.kubectl("scale", gateway.operator, "--replicas=1")
    await cluster.rolled_out(gateway.operator, timeout=90)
    await _empty(scene, gateway, victim.name)
    scene.notes.append(f"{victim.name} was drained without an operator")
    await gateway.undrain(victim.name)
    await cluster.until(lambda: _takes(gateway, victim.name), "it takes clients again", 60)


async def _busy(scene: Scene, gateway: Gateway) -> PodLoad:
    """The pod with most clients, as soon as the status knows of all replicas."""

    async def known() -> bool:
        loads = await gateway.loads()
        running = [pod for pod in loads.values() if pod.state == "running"]
        return len(loads) == len(running) == REPLICAS

    await scene.cluster.until(known, f"the status names {REPLICAS} running pods", 60)
    return await gateway.busiest()


async def _uneven(scene: Scene, gateway: Gateway) -> dict[str, PodLoad]:
    """The loads, when the pods' deletion costs say the same."""
    found: dict[str, PodLoad] = {}

    async def costed() -> bool:
        found.clear()
        found.update(await gateway.loads())
        pods = (await scene.cluster.read("pods"))["items"]
        costs = {
            pod["metadata"]["name"]: int(
                pod["metadata"]
                .get("annotations", {})
                .get("controller.kubernetes.io/pod-deletion-cost", "-5")
            )
            for pod in pods
            if pod["metadata"]["name"] in found
        }
        if len(costs) != REPLICAS:
            return False
        emptiest = min(costs, key=lambda name: costs[name])
        return found[emptiest].connections == min(pod.connections for pod in found.values())

    await scene.cluster.until(costed, "the deletion costs follow the clients", 60)
    return found


async def _begun(gateway: Gateway, pod: str) -> bool:
    load = (await gateway.loads()).get(pod)
    return load is not None and load.state in ("draining", "drained")


async def _takes(gateway: Gateway, pod: str) -> bool:
    load = (await gateway.loads()).get(pod)
    return load is not None and load.state == "running"


async def _empty(scene: Scene, gateway: Gateway, pod: str) -> None:
    async def empty() -> bool:
        load = (await gateway.loads()).get(pod)
        return load is not None and (load.state, load.connections, load.tasks) == ("drained", 0, 0)

    await scene.cluster.until(empty, f"{pod} is drained", 90)
