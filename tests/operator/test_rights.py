"""The rights of the chart's Role and ClusterRole are what the operator uses: no more, no less."""

from __future__ import annotations

from typing import Any

from tests.chart.cases import SMALLEST
from tests.chart.helm import merged, nested, rendered
from tests.operator.stage import NODES, Stage, until


def _granted() -> set[tuple[str, str]]:
    """Each verb that the chart grants, with its resource."""
    one = rendered(merged(SMALLEST, nested(operator__enabled=True, operator__watchNodes=True)))
    rules: list[dict[str, Any]] = [
        rule for kind in ("Role", "ClusterRole") for each in one.all(kind) for rule in each["rules"]
    ]
    return {
        (verb, resource)
        for rule in rules
        for verb in rule["verbs"]
        for resource in rule["resources"]
    }


async def test_every_right_is_used_and_none_is_missing(stage: Stage) -> None:
    kubernetes = stage.kubernetes
    await kubernetes.create(NODES, "node-1", spec={})
    one = await stage.replica("fleet-1", 5)
    await stage.replica("fleet-2", 7)
    await kubernetes.gateway(settings={"pingIntervalSeconds": 10})
    async with stage.operator():
        await until(lambda: kubernetes.condition("SettingsApplied") == ("True", "Applied"))
        await kubernetes.annotate("fleet-1", "true")
        await until(lambda: one.state == "drained")
        await until(lambda: kubernetes.cost("fleet-2") == "7")
        await until(lambda: kubernetes.events("DrainStarted"))
        await until(lambda: {("list", "nodes"), ("watch", "nodes")} <= kubernetes.used())
    # It has given the Lease back by now.
    assert kubernetes.holder() == ""
    assert kubernetes.used() == _granted()
