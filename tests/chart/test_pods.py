"""Every pod, in every case: admitted to a restricted namespace, and within our own rules."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.chart.cases import FILES
from tests.chart.helm import render, rendered
from tests.chart.restricted import containers, house_rules, pods, violations


@pytest.mark.parametrize("case", FILES)
def test_a_restricted_namespace_admits_every_pod(case: str) -> None:
    faults = {name: violations(pod) for name, pod in pods(rendered(FILES[case]))}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize("case", FILES)
def test_pods_keep_to_the_house_rules(case: str) -> None:
    faults = {name: house_rules(pod) for name, pod in pods(rendered(FILES[case]))}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"hostNetwork": True}, "hostNetwork is true"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "volume v is of type hostPath"),
        ({"privileged": True}, "app: privileged"),
        ({"allowPrivilegeEscalation": True}, "app: allowPrivilegeEscalation is not false"),
        ({"runAsNonRoot": False}, "app: runAsNonRoot is not true"),
        ({"runAsUser": 0}, "app: runAsUser is 0"),
        ({"seccompProfile": {"type": "Unconfined"}}, "app: seccompProfile is Unconfined"),
        ({"capabilities": {"drop": ["NET_RAW"]}}, "app: capabilities are not all dropped"),
        ({"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
         "app: capabilities ['SYS_ADMIN'] are added"),
    ],
)  # fmt: skip
def test_the_checker_finds_what_the_standard_forbids(change: dict[str, Any], fault: str) -> None:
    pod = copy.deepcopy(dict(pods(render(FILES["evaluation"])))["Deployment fleet-heliograph"])
    container = pod["spec"]["containers"][0]
    for key, value in change.items():
        at = pod["spec"] if key in ("hostNetwork", "volumes") else container["securityContext"]
        at[key] = value
    assert violations(pod) == [fault]


def test_images_are_by_digest_when_one_is_given() -> None:
    digest = "sha256:" + "5" * 64
    values = FILES["production"] | {"redis": {"image": {"digest": digest}}}
    for name, pod in pods(render(values)):
        for container in containers(pod):
            assert "@sha256:" in container["image"], f"{name}: {container['name']}"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}], name
