"""The operator's resource, as somebody with kubectl uses it, and what its status says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.kind.cluster import Cluster, CommandFailed

DRAIN = "heliograph.dev/drain"
_KIND = "realtimegateways.heliograph.dev"


@dataclass(frozen=True, slots=True)
class PodLoad:
    """What the status says of a pod."""

    name: str
    connections: int
    tasks: int
    state: str


class Gateway:
    """The RealtimeGateway of a release."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def operator(self) -> str:
        """The operator's Deployment, as kubectl names it."""
        return f"deployment/{self._cluster.fullname}-operator"

    async def apply(self, **settings: float | str) -> int:
        """``kubectl apply`` with these settings; the generation that it is now."""
        manifest = {
            "apiVersion": "heliograph.dev/v1alpha1",
            "kind": "RealtimeGateway",
            "metadata": {"name": self._cluster.fullname},
            "spec": {"deployment": self._cluster.fullname, "settings": settings},
        }
        await self._cluster.kubectl("apply", "--filename", "-", given=json.dumps(manifest))
        return int((await self.read())["metadata"]["generation"])

    async def refusal(self, **settings: float | str) -> str:
        """What the API server says to settings that it must refuse.

        :raises AssertionError: it takes them.
        """
        try:
            await self.apply(**settings)
        except CommandFailed as error:
            return str(error)
        raise AssertionError(f"The API server took {settings}")

    async def read(self) -> dict[str, Any]:
        """The object."""
        found: dict[str, Any] = await self._cluster.read(_KIND, self._cluster.fullname)
        return found

    async def condition(self, type: str) -> tuple[str, str, int]:
        """Status, reason and observed generation of a condition; empty before there is one."""
        status = (await self.read()).get("status", {})
        for one in status.get("conditions", []):
            if one["type"] == type:
                return one["status"], one["reason"], int(one["observedGeneration"])
        return "", "", 0

    async def loads(self) -> dict[str, PodLoad]:
        """What the status says of each pod."""
        pods = (await self.read()).get("status", {}).get("pods", [])
        return {
            pod["name"]: PodLoad(pod["name"], pod["connections"], pod["tasks"], pod["state"])
            for pod in pods
        }

    async def busiest(self) -> PodLoad:
        """The pod with most clients."""
        return max((await self.loads()).values(), key=lambda pod: pod.connections)

    async def drain(self, pod: str) -> None:
        """``kubectl annotate pod … heliograph.dev/drain=true``."""
        await self._cluster.kubectl("annotate", "pod", pod, f"{DRAIN}=true", "--overwrite")

    async def undrain(self, pod: str) -> None:
        """Take the annotation back."""
        await self._cluster.kubectl("annotate", "pod", pod, f"{DRAIN}-")

    async def events(self) -> list[str]:
        """``reason: message`` of all Events of the namespace."""
        items = (await self._cluster.read("events"))["items"]
        return [f"{each['reason']}: {each.get('message', '')}" for each in items]
