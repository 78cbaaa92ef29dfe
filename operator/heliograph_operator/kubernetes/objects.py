"""The Kubernetes objects and patches that the operator writes, as pure functions."""

from __future__ import annotations

from typing import Any

from heliograph_operator.gateway import GROUP, KIND, VERSION, Gateway
from heliograph_operator.happenings import Happening
from heliograph_operator.pods import CLIENTS_LABEL, COST_ANNOTATION, Pod
from heliograph_operator.times import micro, rfc3339

COMPONENT = "heliograph-operator"

_LONGEST_NOTE = 1000  # an Event's message has a limit of 1024


def cost_patch(cost: int) -> dict[str, Any]:
    """A pod's deletion cost, as a merge patch."""
    return {"metadata": {"annotations": {COST_ANNOTATION: str(cost)}}}


def clients_patch(clients: str) -> dict[str, Any]:
    """Whether a pod is in the Service, ``yes`` or ``no``, as a merge patch."""
    return {"metadata": {"labels": {CLIENTS_LABEL: clients}}}


def pod_reference(namespace: str, name: str, pod: Pod | None) -> dict[str, Any]:
    """What an Event is about: a pod, which may be gone."""
    reference = {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": name}
    return reference | ({"uid": pod.uid} if pod and pod.uid else {})


def fleet_reference(namespace: str, deployment: str, gateway: Gateway | None) -> dict[str, Any]:
    """What an Event is about: the fleet's resource, or its Deployment when it has none."""
    if gateway is None:
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": namespace,
            "name": deployment,
        }
    reference = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "namespace": namespace,
        "name": gateway.name,
    }
    return reference | ({"uid": gateway.uid} if gateway.uid else {})


def event(
    happening: Happening,
    about: dict[str, Any],
    *,
    name: str,
    namespace: str,
    instance: str,
    now: float,
) -> dict[str, Any]:
    """An Event.

    :param name: its own. :param about: reference of an object. :param instance: who tells.
    """
    message = happening.message
    if len(message) > _LONGEST_NOTE:
        message = message[: _LONGEST_NOTE - 1] + "…"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": about,
        "type": happening.type,
        "reason": happening.reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance[:128],
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    }


def lease(
    name: str,
    namespace: str,
    *,
    holder: str,
    seconds: int,
    acquired: str,
    now: float,
    transitions: int,
    version: str = "",
) -> dict[str, Any]:
    """A Lease.

    :param holder: empty: it is free. :param acquired: since when it has this holder.
    :param version: the resource version that it replaces; empty: it is new.
    """
    metadata = {"name": name, "namespace": namespace}
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": metadata | ({"resourceVersion": version} if version else {}),
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": seconds,
            "acquireTime": acquired or micro(now),
            "renewTime": micro(now),
            "leaseTransitions": transitions,
        },
    }
