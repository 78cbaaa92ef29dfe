"""What the operator needs to know of a pod and of a node, out of the API's JSON.

Guarantee: an object of any shape gives a value or ``None``, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from heliograph_operator.times import seconds

DRAIN_ANNOTATION = "heliograph.dev/drain"
CLIENTS_LABEL = "heliograph.dev/clients"
COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"

_LONGEST_REASON = 200


@dataclass(frozen=True)
class Pod:
    """One pod of the fleet that is not over.

    :ivar deleting: the sentence why it ends, or empty.
    :ivar deadline: when it is killed, s since 1970; 0: it does not end.
    :ivar annotated: the sentence why a person wants it empty, or empty.
    :ivar cost: its deletion cost; ``None``: it has none, which counts as 0.
    :ivar clients: its label of that name, ``yes`` or ``no``: whether the Service sends it any.
    """

    name: str
    uid: str = ""
    node: str = ""
    deleting: str = ""
    deadline: float = 0
    annotated: str = ""
    cost: int | None = None
    ready: bool = False
    clients: str = ""

    @classmethod
    def of(cls, body: object) -> Pod | None:
        """Read one; ``None`` when it has no name, or its containers have ended for good."""
        metadata, spec, status = (section(body, name) for name in ("metadata", "spec", "status"))
        name = metadata.get("name")
        if not isinstance(name, str) or status.get("phase") in ("Succeeded", "Failed"):
            return None
        conditions = [one for one in _items(status, "conditions") if isinstance(one, Mapping)]
        annotations = section(metadata, "annotations")
        return cls(
            name=name,
            uid=text(metadata.get("uid")),
            node=text(spec.get("nodeName")),
            deleting=_why_deleting(metadata, conditions),
            deadline=seconds(text(metadata.get("deletionTimestamp"))),
            annotated=_why_annotated(annotations.get(DRAIN_ANNOTATION)),
            clients=text(section(metadata, "labels").get(CLIENTS_LABEL)),
            cost=_cost(annotations.get(COST_ANNOTATION)),
            ready=any(
                one.get("type") == "Ready" and one.get("status") == "True" for one in conditions
            ),
        )


def is_cordoned(node: object) -> bool:
    """Whether nothing new is to run on a node."""
    return section(node, "spec").get("unschedulable") is True


def section(body: object, name: str) -> Mapping[str, Any]:
    """An object within an object; empty when there is none."""
    found = body.get(name) if isinstance(body, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def text(value: object) -> str:
    """A string, or nothing."""
    return value if isinstance(value, str) else ""


def _items(body: Mapping[str, Any], name: str) -> list[Any]:
    found = body.get(name)
    return found if isinstance(found, list) else []


def _why_deleting(metadata: Mapping[str, Any], conditions: list[Mapping[str, Any]]) -> str:
    if not metadata.get("deletionTimestamp"):
        return ""
    for one in conditions:
        if one.get("type") == "DisruptionTarget" and one.get("status") == "True":
            return f"the pod is evicted ({text(one.get('reason')) or 'no reason given'})"
    return "the pod is deleted"


def _why_annotated(value: object) -> str:
    said = " ".join(text(value).split())
    if said.lower() in ("", "false"):
        return ""
    if said.lower() == "true":
        return f"it is annotated {DRAIN_ANNOTATION}"
    return "".join(sign for sign in said if sign.isprintable())[:_LONGEST_REASON]


def _cost(value: object) -> int | None:
    try:
        return int(text(value))
    except ValueError:
        return None
