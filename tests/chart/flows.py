"""What NetworkPolicies let through: a small evaluator of their rules.

It follows https://kubernetes.io/docs/concepts/services-networking/network-policies/: a pod that no
policy of a direction selects is open in it; one that some select admits what any of them admits; a
connection needs the sender's egress and the receiver's ingress. Services do not appear: what counts
is the pod behind them and its port. Known are podSelector, namespaceSelector (labels and
expressions), ipBlock, ports by number, name and range, and protocols.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tests.chart.helm import NAMESPACE, Object


@dataclass(frozen=True)
class Pod:
    """A pod: its labels, its namespace, and the names of its ports."""

    labels: Mapping[str, str]
    namespace: str = NAMESPACE
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def namespace_labels(self) -> Mapping[str, str]:
        """Kubernetes labels each namespace with its name."""
        return {"kubernetes.io/metadata.name": self.namespace}


@dataclass(frozen=True)
class Address:
    """A host outside of the cluster."""

    ip: str


End = Pod | Address


def allowed(
    policies: Sequence[Object], source: End, target: End, port: int, protocol: str = "TCP"
) -> bool:
    """Whether a connection from ``source`` to ``port`` of ``target`` is let through."""
    return _side(policies, "Egress", source, target, target, port, protocol) and _side(
        policies, "Ingress", target, source, target, port, protocol
    )


def _side(
    policies: Sequence[Object],
    direction: str,
    subject: End,
    other: End,
    target: End,
    port: int,
    protocol: str,
) -> bool:
    if isinstance(subject, Address):
        return True
    selecting = [
        policy["spec"]
        for policy in policies
        if policy["metadata"].get("namespace", NAMESPACE) == subject.namespace
        and direction in policy["spec"]["policyTypes"]
        and matches(policy["spec"]["podSelector"], subject.labels)
    ]
    if not selecting:
        return True
    peers, rules = ("to", "egress") if direction == "Egress" else ("from", "ingress")
    return any(
        _peers(rule.get(peers), other, subject.namespace)
        and _ports(rule.get("ports"), target, port, protocol)
        for spec in selecting
        for rule in spec.get(rules) or []
    )


def _peers(peers: Sequence[Object] | None, other: End, namespace: str) -> bool:
    # No list, or an empty one, is everybody.
    return not peers or any(_peer(peer, other, namespace) for peer in peers)


def _peer(peer: Object, other: End, namespace: str) -> bool:
    if unknown := peer.keys() - {"ipBlock", "podSelector", "namespaceSelector"}:
        raise ValueError(f"a peer has {sorted(unknown)}")
    if "ipBlock" in peer:
        return isinstance(other, Address) and _in_block(peer["ipBlock"], other.ip)
    if isinstance(other, Address):
        return False
    if "namespaceSelector" in peer:
        if not matches(peer["namespaceSelector"], other.namespace_labels):
            return False
    elif other.namespace != namespace:
        return False
    return matches(peer.get("podSelector") or {}, other.labels)


def _in_block(block: Object, ip: str) -> bool:
    address = ip_address(ip)
    outer = ip_network(block["cidr"])
    for inner in block.get("except", []):
        # The API server refuses an exception that is not within its block.
        if ip_network(inner).version != outer.version or not ip_network(inner).subnet_of(outer):  # type: ignore[arg-type]
            raise ValueError(f"{inner} is not within {outer}")
    return address in outer and not any(
        address in ip_network(each) for each in block.get("except", [])
    )


def _ports(ports: Sequence[Object] | None, target: End, port: int, protocol: str) -> bool:
    return not ports or any(_port(each, target, port, protocol) for each in ports)


def _port(rule: Object, target: End, port: int, protocol: str) -> bool:
    if rule.get("protocol", "TCP") != protocol:
        return False
    wanted = rule.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return isinstance(target, Pod) and target.ports.get(wanted) == port
    return bool(wanted <= port <= (rule.get("endPort") or wanted))


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    if unknown := selector.keys() - {"matchLabels", "matchExpressions"}:
        raise ValueError(f"a selector has {sorted(unknown)}")
    exact: Mapping[str, str] = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in exact.items()) and all(
        _expression(each, labels) for each in selector.get("matchExpressions") or []
    )


def _expression(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values", [])
    operators: dict[str, Any] = {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }
    return bool(operators[expression["operator"]])
