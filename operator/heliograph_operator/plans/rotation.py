"""Which pods the Service sends new clients to, by a label of theirs.

A pod that drains and stays would refuse them one by one, each after a pause of its own; so it goes
out of the Service when its drain begins. One that ends is left alone: proxies send it nobody new,
and keep those who poll with it until they were moved.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from heliograph_operator.pods import Pod


def plan(pods: Mapping[str, Pod], draining: Set[str]) -> dict[str, str]:
    """The labels that are wrong, by pod. One without a label is in the Service."""
    wanted = {
        name: "no" if name in draining else "yes" for name, pod in pods.items() if not pod.deleting
    }
    return {name: label for name, label in wanted.items() if (pods[name].clients or "yes") != label}
