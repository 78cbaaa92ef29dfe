"""Every case renders, is found good by Helm, and is known to every supported Kubernetes."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import yaml

from tests.chart.cases import CONTROLLERS, FILES, REDIS, SMALLEST
from tests.chart.helm import (
    CHART,
    FULLNAME,
    NAMESPACE,
    Rendered,
    lint,
    merged,
    nested,
    render,
    rendered,
)
from tests.chart.schemas import CUSTOM, RELEASES, faults

GOLDEN = CHART.parents[1] / "tests" / "chart" / "golden"
_PRESETS = {name: nested(ingress__controller=name) for name in CONTROLLERS}
_TLS = {
    f"{mode}-tls": merged(values, nested(redis__tls__enabled=True))
    for mode, values in REDIS.items()
    if mode != "external"
}
CASES = FILES | {
    name: merged(SMALLEST, values) for name, values in (_PRESETS | REDIS | _TLS).items()
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_valid_in_the_oldest_and_the_newest_kubernetes(case: str) -> None:
    found = [
        f"{release}: {fault}"
        for release in (RELEASES[0], RELEASES[-1])
        for each in rendered(CASES[case]).objects
        for fault in faults(each, release)
    ]
    assert not found


@pytest.mark.parametrize("release", RELEASES)
def test_each_kubernetes_knows_every_kind_and_field(release: str) -> None:
    # Between them these have every object of the chart.
    cases = ("production", "production-cluster", "kind-cluster", "single", "extras", "operator")
    found = [rendered(FILES[case]) for case in cases]
    kinds = {each["kind"] for one in found for each in one.objects}
    assert kinds - CUSTOM >= {
        "ClusterRole", "ClusterRoleBinding", "ConfigMap", "CustomResourceDefinition", "Deployment",
        "HorizontalPodAutoscaler", "Ingress", "Job", "NetworkPolicy", "PersistentVolumeClaim",
        "Pod", "PodDisruptionBudget", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount",
        "StatefulSet",
    }  # fmt: skip
    assert not [fault for one in found for each in one.objects for fault in faults(each, release)]


def test_the_schemas_refuse_what_a_server_does_not_know() -> None:
    deployment = render(FILES["evaluation"]).one("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["restartPolic"] = "Never"
    assert len(faults(deployment, "1.29")) == 1


@pytest.mark.parametrize("case", FILES)
def test_helm_lint_finds_nothing(case: str) -> None:
    assert lint(FILES[case]) == []


@pytest.mark.parametrize("case", CASES)
def test_names_are_unique_and_fit(case: str) -> None:
    objects = render(CASES[case], name="heliograph-" + "x" * 40).objects
    names = [(each["kind"], each["metadata"]["name"]) for each in objects]
    assert len(set(names)) == len(names)
    for kind, name in names:
        # A pod of a StatefulSet, and the label with its revision, have 11 more.
        assert len(name) <= (52 if kind == "StatefulSet" else 63), name


def test_a_release_named_after_the_chart_is_not_named_twice() -> None:
    assert render(SMALLEST, name="heliograph").has("Deployment", "heliograph")
    assert render(SMALLEST, name="my-heliograph").has("Deployment", "my-heliograph")
    assert render(SMALLEST, name="chat").has("Deployment", "chat-heliograph")


@pytest.mark.parametrize("case", CASES)
def test_references_lead_to_what_is_rendered(case: str) -> None:
    one = rendered(CASES[case])
    known = {
        kind: {each["metadata"]["name"] for each in one.all(kind)}
        for kind in ("Secret", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim")
    }
    outside = _names_in(CASES[case])
    for kind, name in _references(one):
        assert name in known[kind] | outside | {"default"}, f"{kind} {name} is not rendered"


def _names_in(values: object) -> set[str]:
    """All texts among the values: a reference that the chart does not render is one of them."""
    if isinstance(values, dict):
        return {name for each in values.values() for name in _names_in(each)}
    if isinstance(values, list):
        return {name for each in values for name in _names_in(each)}
    return {values} if isinstance(values, str) else set()


def _references(one: Rendered) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()

    def look(node: Any) -> None:
        if isinstance(node, list):
            for each in node:
                look(each)
        elif isinstance(node, dict):
            for key, value in node.items():
                match key, value:
                    case "secretKeyRef" | "secretRef", {"name": name}:
                        found.add(("Secret", name))
                    case "configMapRef" | "configMapKeyRef" | "configMap", {"name": name}:
                        found.add(("ConfigMap", name))
                    case "secretName", str(name):
                        found.add(("Secret", name))
                    case "serviceAccountName", str(name):
                        found.add(("ServiceAccount", name))
                    case "claimName", str(name):
                        found.add(("PersistentVolumeClaim", name))
                    case _:
                        look(value)

    look([each["spec"] for each in one.objects if "spec" in each])
    return found


@pytest.mark.parametrize(
    "case", ["evaluation", "operator", "production", "production-cluster", "single"]
)
def test_it_comes_to_what_was_reviewed(case: str) -> None:
    """``make golden`` writes these files; what a change of the chart does is read in their diff."""
    path = GOLDEN / f"{case}.yaml"
    text = _golden(render(FILES[case]))
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path.name} is missing: make golden"
    assert path.read_text() == text, f"{path.name} is not current: make golden, and read the diff"


def _golden(one: Rendered) -> str:
    """All objects, without what is random."""
    for secret in one.all("Secret"):
        secret.pop("stringData", None)
        data = secret.get("data", {})
        secret["data"] = dict.fromkeys(data, "(left out)")
    for each in one.objects:
        template = each.get("spec", {}).get("template", {})
        annotations = template.get("metadata", {}).get("annotations", {})
        for name in annotations:
            if name.startswith("checksum/"):
                annotations[name] = "(left out)"
        if each["kind"] == "ConfigMap":
            # The scripts are files of the chart, and reviewed there.
            each["data"] = {
                key: value if "\n" not in value else f"({len(value.splitlines())} lines)"
                for key, value in each["data"].items()
            }
        if each["kind"] == "CustomResourceDefinition":
            each["spec"] = "(files/operator/crd.yaml)"
    inside = [each for each in one.objects if not each["kind"].startswith("Cluster")]
    assert NAMESPACE not in json.dumps([each["metadata"] for each in inside])
    assert one.objects
    text = yaml.safe_dump_all(one.objects, sort_keys=False, width=100)
    return f"# Rendered as release fleet ({FULLNAME}); written by `make golden`.\n---\n{text}"
