"""Pods that drain and stay are out of the Service; those that end are left to the proxy."""

from __future__ import annotations

from heliograph_operator.plans import rotation
from heliograph_operator.pods import CLIENTS_LABEL, Pod
from tests.operator.stage import PODS, Stage, until


def test_only_what_is_wrong_is_written() -> None:
    pods = {
        "in": Pod("in", clients="yes"),
        "older": Pod("older"),
        "out": Pod("out", clients="no"),
        "drains": Pod("drains", clients="yes"),
        "older-drains": Pod("older-drains"),
        "drained": Pod("drained", clients="no"),
        "ends": Pod("ends", clients="yes", deleting="the pod is deleted"),
    }
    draining = {"drains", "older-drains", "drained", "ends"}
    assert rotation.plan(pods, draining) == {"out": "yes", "drains": "no", "older-drains": "no"}


async def test_an_annotated_pod_is_out_of_the_service_until_it_takes_clients_again(
    stage: Stage,
) -> None:
    kubernetes = stage.kubernetes
    await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 5)

    def label(pod: str) -> object:
        return kubernetes.find(PODS, pod)["metadata"].get("labels", {}).get(CLIENTS_LABEL)

    async with stage.operator():
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: label("fleet-1") == "no")
        assert label("fleet-2") in (None, "yes")
        await kubernetes.annotate("fleet-1", None)
        await until(lambda: label("fleet-1") == "yes")
        await kubernetes.begin_delete("fleet-2")
        await until(lambda: kubernetes.events("DrainFinished"))
        assert label("fleet-2") in (None, "yes")
