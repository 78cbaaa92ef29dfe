"""The real operator on a Kubernetes API in memory and a real Redis, with fake replicas.

A fake replica does what the real one does with an operator, by the documented keys: it reports,
takes settings, drains, and sheds; see ``app/heliograph/control``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import kmock
import kopf
from redis.asyncio import Redis

from heliograph_operator.gateway import KIND
from heliograph_operator.process import serve
from heliograph_operator.settings import Settings
from tests.support.processes import free_port

NAMESPACE = "chat"
DEPLOYMENT = "fleet"
SELECTOR = "app=fleet"

PODS = kmock.resource("", "v1", "pods")
NODES = kmock.resource("", "v1", "nodes")
EVENTS = kmock.resource("", "v1", "events")
LEASES = kmock.resource("coordination.k8s.io", "v1", "leases")
GATEWAYS = kmock.resource("heliograph.dev", "v1alpha1", "realtimegateways")

_VERBS = {"get", "list", "watch", "create", "update", "patch", "delete"}
_AGENTS = ("kopf/", "heliograph-operator")


async def until(check: Callable[[], Any], *, seconds: float = 45) -> Any:
    """Wait until ``check`` returns something true, and return that."""
    async with asyncio.timeout(seconds):
        while not (found := check()):
            await asyncio.sleep(0.01)
    return found


class Conflict(kmock.KubernetesError):
    """The object is another by now."""

    def __init__(self) -> None:
        super().__init__(status=409, reason="Conflict", message="the object has been modified")


class Kubernetes:
    """The API in memory, changed as people and controllers change it."""

    def __init__(self, api: kmock.KubernetesEmulator) -> None:
        self.api = api
        self.url = str(api.url)
        for name in ("apiextensions.k8s.io/v1/customresourcedefinitions", "v1/namespaces"):
            api.resources[name] = kmock.ResourceInfo(verbs=_VERBS)
        for resource in (PODS, EVENTS, LEASES):
            api.resources[resource] = kmock.ResourceInfo(verbs=_VERBS, namespaced=True)
        api[kmock.method.PUT, LEASES] << self._replace
        api.resources[NODES] = kmock.ResourceInfo(verbs=_VERBS, namespaced=False, kind="Node")
        self.define()

    def define(self, *verbs: str) -> None:
        """Install the resource's definition; ``verbs`` fewer than all: it is being removed."""
        self.api.resources[GATEWAYS] = kmock.ResourceInfo(
            verbs=set(verbs) or _VERBS, namespaced=True, kind=KIND, subresources={"status"}
        )

    def undefine(self) -> None:
        """Remove the definition, and with it what is left of its objects."""
        del self.api.resources[GATEWAYS]
        for key in [key for key in self.api.objects if key[0] == GATEWAYS]:
            del self.api.objects[key]

    def _replace(self, request: Any) -> Any:
        """PUT, with the check of versions that makes it safe. The emulator has none."""
        found = self.api.objects[LEASES, request.namespace, request.name]
        version = found.raw["metadata"].get("resourceVersion", "")
        if request.data["metadata"].get("resourceVersion", "") != version:
            raise Conflict
        metadata = {**request.data["metadata"], "resourceVersion": str(int(version or 0) + 1)}
        found.patch({**request.data, "metadata": metadata})
        return found.raw

    # -- changes ---------------------------------------------------------------------

    def _path(self, resource: Any, name: str = "") -> str:
        base = f"/apis/{resource.group}" if resource.group else "/api"
        space = "" if resource == NODES else f"/namespaces/{NAMESPACE}"
        return f"{base}/{resource.version}{space}/{resource.plural}{f'/{name}' if name else ''}"

    async def create(self, resource: Any, name: str, **body: Any) -> None:
        metadata = {
            "name": name,
            "uid": uuid.uuid4().hex,
            "creationTimestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            **({} if resource == NODES else {"namespace": NAMESPACE}),
            **body.pop("metadata", {}),
        }
        answer = await self.api.post(self._path(resource), json={"metadata": metadata, **body})
        assert answer.status < 300, await answer.text()

    async def patch(self, resource: Any, name: str, **patch: Any) -> None:
        answer = await self.api.patch(self._path(resource, name), json=patch)
        assert answer.status < 300, await answer.text()

    async def delete(self, resource: Any, name: str) -> None:
        answer = await self.api.delete(self._path(resource, name))
        assert answer.status < 300, await answer.text()

    async def pod(self, name: str, *, node: str = "node-1", ready: bool = True) -> None:
        """A pod that runs."""
        await self.create(
            PODS,
            name,
            metadata={"labels": {"app": "fleet"}, "annotations": {}},
            spec={"nodeName": node},
            status={"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
        )

    async def gateway(self, name: str = "chat", **spec: Any) -> None:
        """A resource of a person."""
        await self.create(
            GATEWAYS,
            name,
            metadata={"generation": 1, **spec.pop("metadata", {})},
            spec={"deployment": DEPLOYMENT, **spec},
        )

    async def annotate(self, pod: str, value: str | None) -> None:
        """What ``kubectl annotate pod`` does."""
        await self.patch(PODS, pod, metadata={"annotations": {"heliograph.dev/drain": value}})

    async def begin_delete(self, pod: str, grace: float = 60) -> None:
        """What ``kubectl delete pod`` does: the pod goes on for its grace period."""
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + grace))
        await self.patch(
            PODS, pod, metadata={"deletionTimestamp": ends, "finalizers": ["it/ends-later"]}
        )

    async def end(self, pod: str) -> None:
        """The pod is no more; with its last finalizer the API lets it go."""
        await self.patch(PODS, pod, metadata={"finalizers": None})

    # -- what is there ---------------------------------------------------------------

    def find(self, resource: Any, name: str) -> dict[str, Any]:
        """An object; empty when there is none."""
        for (kind, _, found), body in self.api.objects.items():
            if kind == resource and found == name and not body.deleted:
                raw: dict[str, Any] = body.raw
                return raw
        return {}

    def events(self, reason: str = "") -> list[dict[str, Any]]:
        """The Events that were told, oldest first."""
        return [
            body.raw
            for (kind, _, _), body in self.api.objects.items()
            if kind == EVENTS and reason in ("", body.raw["reason"])
        ]

    def status(self, name: str = "chat") -> dict[str, Any]:
        """The status of a resource."""
        found: dict[str, Any] = self.find(GATEWAYS, name).get("status", {})
        return found

    def condition(self, type: str, name: str = "chat") -> tuple[str, str]:
        """Status and reason of a condition."""
        for one in self.status(name).get("conditions", []):
            if one["type"] == type:
                return one["status"], one["reason"]
        return "", ""

    def cost(self, pod: str) -> str | None:
        """A pod's deletion cost."""
        annotations = self.find(PODS, pod).get("metadata", {}).get("annotations", {})
        cost: str | None = annotations.get("controller.kubernetes.io/pod-deletion-cost")
        return cost

    def holder(self) -> str:
        """Who has the Lease."""
        found: str = self.find(LEASES, "fleet-operator").get("spec", {}).get("holderIdentity", "")
        return found

    def used(self) -> set[tuple[str, str]]:
        """Each verb that operators used, with its resource: ``("patch", "pods")``."""
        by_action = {"FETCH": "get", "LIST": "list", "WATCH": "watch", "CREATE": "create"}
        by_method = {"PATCH": "patch", "PUT": "update", "DELETE": "delete"}
        found = set()
        for request in self.api:
            agent = {name.lower(): said for name, said in request.headers.items()}["user-agent"]
            if request.resource is None or not request.resource.plural:
                continue  # discovery, which everybody may
            if not agent.startswith(_AGENTS):
                continue  # the test itself
            action = request.action.value if request.action else ""
            method = request.method.value.upper()
            verb = by_method.get(method) or by_action.get(action) or f"{method} {action}"
            part = f"/{request.subresource}" if request.subresource else ""
            found.add((verb, f"{request.resource.plural}{part}"))
        return found


@dataclass
class Replica:
    """A fake replica: what it has, and what it was told."""

    redis: Redis
    prefix: str
    pod: str
    id: str = field(default_factory=lambda: f"replica-{uuid.uuid4().hex[:8]}")
    connections: int = 0
    tasks: set[str] = field(default_factory=set)
    state: str = "running"
    revision: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    refuses: str = ""
    lag_ms: int = 0
    missed_pongs: int = 0
    late_renewals: int = 0
    stopped: list[str] = field(default_factory=list)
    shed: list[int] = field(default_factory=list)
    leaves: int = 1_000_000  # clients that go at each look while it drains
    obeys: bool = True
    elsewhere: Replica | None = None  # where those it sheds go
    _refused: list[str] | None = None
    _task: asyncio.Task[None] | None = None
    _ended: bool = False

    def key(self, name: str) -> str:
        return f"{self.prefix}:control:{{control}}:{name}"

    @property
    def report_key(self) -> str:
        return self.key(f"report:{self.id}")

    @property
    def tasks_key(self) -> str:
        return f"{self.prefix}:tasks:{{tasks}}:replica:{self.id}"

    async def __aenter__(self) -> Replica:
        if self.tasks:
            await self.redis.sadd(self.tasks_key, *self.tasks)
        await self.redis.zadd(f"{self.prefix}:replicas:{{replicas}}", {self.id: time.time() * 1000})
        self._task = asyncio.create_task(self._run(), name=self.id)
        return self

    async def __aexit__(self, *_: object) -> None:
        """It ends: as after SIGKILL, its report stays until it expires."""
        assert self._task is not None
        self._ended = True  # a cancellation may be swallowed
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def forgotten(self) -> None:
        """What is left of it has expired."""
        await self.redis.delete(self.report_key)
        await self.redis.zrem(f"{self.prefix}:replicas:{{replicas}}", self.id)

    async def _run(self) -> None:
        async with self.redis.pubsub() as channel:
            await channel.subscribe(
                f"{self.prefix}:tasks:commands", f"{self.prefix}:control:commands"
            )
            while not self._ended:
                try:
                    await self._look()
                    message = await channel.get_message(timeout=0.05)
                    if message and message["type"] == "message":
                        await self._heard(json.loads(message["data"]))
                except (OSError, ConnectionError, TimeoutError):
                    await asyncio.sleep(0.05)

    async def _heard(self, said: dict[str, Any]) -> None:
        if said["action"] == "stop" and said["task_id"] in self.tasks:
            self.stopped.append(said["task_id"])
            self.tasks.discard(said["task_id"])
            await self.redis.srem(self.tasks_key, said["task_id"])
        elif said["action"] == "shed" and said["replica"] == self.id:
            self.shed.append(said["count"])
            count = min(self.connections, said["count"])
            self.connections -= count
            if self.elsewhere is not None:
                self.elsewhere.connections += count

    async def _look(self) -> None:
        stored = await self.redis.get(self.key("settings"))
        order: dict[str, Any] = json.loads(stored) if stored else {"revision": "", "values": {}}
        if self.refuses and order["revision"]:
            self._refused = [str(order["revision"]), self.refuses]
        elif self.obeys:
            self.revision, self.settings = order["revision"], order["values"]
        if self.obeys and await self.redis.hexists(self.key("drains"), self.pod):
            self.connections = max(0, self.connections - self.leaves)
            self.state = "draining" if self.connections or self.tasks else "drained"
        else:
            self.state = "running"
        await self.redis.set(self.report_key, json.dumps(self.report()), px=2_000)

    def report(self) -> dict[str, Any]:
        """As the real one writes it."""
        return {
            "replica": self.id,
            "pod": self.pod,
            "version": "0",
            "at": time.time(),
            "state": self.state,
            "connections": self.connections,
            "sessions": self.connections,
            "tasks": len(self.tasks),
            "revision": self.revision,
            "refused": self._refused,
            "settings": {"WEBSOCKET_SERVER_PING_INTERVAL": 25.0, **self.settings},
            "lag_ms": self.lag_ms,
            "missed_pongs": self.missed_pongs,
            "late_renewals": self.late_renewals,
            "shed": sum(self.shed),
        }


@dataclass
class Stage:
    """Everything together."""

    kubernetes: Kubernetes
    redis: Redis
    prefix: str
    environment: dict[str, str]
    stack: contextlib.AsyncExitStack

    async def replica(self, pod: str, connections: int = 0, **facts: Any) -> Replica:
        """A pod with one replica that reports."""
        if not self.kubernetes.find(PODS, pod):
            await self.kubernetes.pod(pod)
        replica = Replica(self.redis, self.prefix, pod, connections=connections, **facts)
        return await self.stack.enter_async_context(replica)

    async def drains(self) -> dict[str, dict[str, Any]]:
        """The orders in Redis."""
        found: dict[Any, Any] = await self.redis.hgetall(
            f"{self.prefix}:control:{{control}}:drains"
        )
        return {pod.decode(): json.loads(order) for pod, order in found.items()}

    async def settings(self) -> dict[str, Any]:
        """The order of settings in Redis."""
        found = await self.redis.get(f"{self.prefix}:control:{{control}}:settings")
        return json.loads(found) if found else {}

    @contextlib.asynccontextmanager
    async def operator(
        self, identity: str = "operator-1", **more: object
    ) -> AsyncIterator[Operator]:
        """An operator that runs, until the end of the block."""
        settings = Settings.model_validate(
            {
                **{name.lower(): value for name, value in self.environment.items()},
                "redis_key_prefix": self.prefix,
                "operator_deployment": DEPLOYMENT,
                "operator_namespace": NAMESPACE,
                "operator_selector": SELECTOR,
                "operator_watch_nodes": True,
                "operator_health_port": free_port(),
                "operator_host": "127.0.0.1",
                "pod_name": identity,
                **more,
            }
        )
        ended = asyncio.Event()
        task = asyncio.create_task(
            serve(settings, ended, login=lambda: kopf.ConnectionInfo(server=self.kubernetes.url)),
            name=identity,
        )
        operator = Operator(settings, task, ended)
        try:
            yield operator
        finally:
            await operator.stop()


@dataclass
class Operator:
    """One that runs."""

    settings: Settings
    task: asyncio.Task[None]
    ended: asyncio.Event

    @property
    def health(self) -> str:
        return f"http://127.0.0.1:{self.settings.operator_health_port}/healthz"

    async def stop(self) -> None:
        """As on SIGTERM."""
        self.ended.set()
        await self.task
