"""What is asked of a release besides surviving: admission, and ``helm test``.

Each check returns a sentence about what it saw, or raises ``AssertionError``.
"""

from __future__ import annotations

from typing import Any

from tests.kind.cluster import Cluster, CommandFailed
from tests.kind.faults import redis_whole
from tests.kind.redis import PODS, Redis

ENFORCED = "pod-security.kubernetes.io/enforce"


async def make_namespace(cluster: Cluster) -> None:
    """A namespace that admits only pods of the restricted standard, and warns of others."""
    labels = {ENFORCED: "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    name = cluster.namespace
    manifest = f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n  labels:\n"
    manifest += "".join(f"    {label}: {value}\n" for label, value in labels.items())
    await cluster.kubectl("apply", "--filename", "-", given=manifest)


async def admitted(cluster: Cluster, warnings: str) -> str:
    """Every pod is admitted to the restricted namespace, and none was refused on the way.

    :param warnings: what helm wrote to standard error when it installed.
    """
    namespace = await cluster.read("namespace", cluster.namespace)
    level = namespace["metadata"]["labels"].get(ENFORCED)
    assert level == "restricted", f"The namespace enforces `{level}`, not `restricted`"
    # A pod that is refused is not there; whoever wanted it says so in an event.
    events = (await cluster.read("events"))["items"]
    refused = [each["message"] for each in events if "violates PodSecurity" in each["message"]]
    assert not refused, f"Refused by the restricted standard: {refused}"
    warned = [line for line in warnings.splitlines() if "PodSecurity" in line]
    assert not warned, f"The restricted standard warns: {warned}"
    pods = (await cluster.read("pods"))["items"]
    return f"{len(pods)} pods admitted, no refusal, no warning"


async def helm_test(cluster: Cluster) -> str:
    """``helm test`` passes."""
    await cluster.helm("test", cluster.release, "--timeout", "60s", timeout=80)
    return "passed"


async def helm_test_without_redis(cluster: Cluster, redis: Redis) -> str:
    """``helm test`` fails while there is no Redis, and passes when it is back."""
    await cluster.kubectl("scale", redis.statefulset, "--replicas=0")
    await cluster.gone(*redis.pods)
    try:
        said = await cluster.helm("test", cluster.release, "--timeout", "45s", timeout=60)
    except CommandFailed as error:
        told = str(error)
    else:
        raise AssertionError(f"`helm test` passed without Redis: {said}")
    finally:
        replicas = PODS[redis.mode]
        await cluster.kubectl("scale", redis.statefulset, f"--replicas={replicas}")
    assert "was not done" not in told, f"`helm test` gave no answer without Redis: {told}"
    await redis_whole(cluster, redis)
    await cluster.rolled_out(f"deployment/{cluster.fullname}")
    await helm_test(cluster)
    return "failed without Redis, passed when it was back"


async def left_over(cluster: Cluster) -> list[str]:
    """Pods that an uninstalled release left behind."""
    pods: list[dict[str, Any]] = (await cluster.read("pods"))["items"]
    return [each["metadata"]["name"] for each in pods]
