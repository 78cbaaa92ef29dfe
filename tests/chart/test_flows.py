"""The flows that must pass and those that must not, in every mode of Redis."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.chart.cases import FILES, REDIS, SMALLEST
from tests.chart.flows import Address, Pod, allowed
from tests.chart.helm import RELEASE, Object, Rendered, merged, nested, render, rendered
from tests.chart.restricted import pods

INGRESS = Pod({"app": "traefik"}, namespace="traefik")
PROMETHEUS = Pod({"app": "prometheus"}, namespace="monitoring")
DNS = Pod({"k8s-app": "kube-dns"}, namespace="kube-system")
STRANGER = Pod({"app": "else"})
ELSEWHERE = Pod({"app": "else"}, namespace="else")
INTERNET = Address("93.184.216.34")
METADATA = Address("169.254.169.254")
PRIVATE = Address("10.1.2.3")


def component(name: str, *, instance: str = RELEASE, namespace: str | None = None) -> Pod:
    """A pod of the release."""
    labels = {
        "app.kubernetes.io/name": "heliograph",
        "app.kubernetes.io/instance": instance,
        "app.kubernetes.io/component": name,
    }
    pod = Pod(labels)
    return replace(pod, namespace=namespace) if namespace else pod


APP, REDIS_POD, POSTGRESQL = component("app"), component("redis"), component("postgresql")
TEST, MIGRATE, OPERATOR = component("test"), component("migrate"), component("operator")
API_SERVER = Address("172.18.0.2")


def policies(values: dict[str, Any]) -> list[Object]:
    """The NetworkPolicies of the defaults with these values."""
    return render(merged(SMALLEST, values)).all("NetworkPolicy")


@pytest.mark.parametrize("mode", ["sentinel", "cluster", "standalone"])
def test_flows_that_the_app_lives_on_pass(mode: str) -> None:
    rules = policies(REDIS[mode])
    passing: list[tuple[Pod, Pod | Address, int]] = [
        (INGRESS, APP, 8080),
        (PROMETHEUS, APP, 9090),
        (TEST, APP, 8080),
        (TEST, POSTGRESQL, 5432),
        (APP, POSTGRESQL, 5432),
        (APP, REDIS_POD, 6379),
        (APP, INTERNET, 443),
    ]
    if mode == "sentinel":
        passing += [(APP, REDIS_POD, 26379), (REDIS_POD, REDIS_POD, 26379)]
    if mode == "cluster":
        passing += [(REDIS_POD, REDIS_POD, 16379)]
    if mode != "standalone":
        passing += [(REDIS_POD, REDIS_POD, 6379)]
    blocked = [flow for flow in passing if not allowed(rules, *flow)]
    assert not blocked
    for pod in (APP, REDIS_POD, TEST):
        assert allowed(rules, pod, DNS, 53, "UDP")
        assert allowed(rules, pod, DNS, 53, "TCP")


@pytest.mark.parametrize("mode", ["sentinel", "cluster", "standalone"])
def test_all_other_flows_do_not(mode: str) -> None:
    rules = policies(REDIS[mode])
    another = component("app", instance="another")
    namesake = component("app", namespace="else")
    leaking = [
        flow
        for flow in (
            # Redis is the app's and its own, whoever else asks.
            *((who, REDIS_POD, port) for who in (INGRESS, PROMETHEUS, STRANGER, ELSEWHERE, TEST,
              POSTGRESQL, another, namesake) for port in (6379, 26379, 16379)),
            (APP, REDIS_POD, 16379),
            # So is the database.
            *((who, POSTGRESQL, 5432) for who in (INGRESS, PROMETHEUS, STRANGER, ELSEWHERE,
              REDIS_POD, another, namesake)),
            # Metrics are for monitoring, clients come by the ingress.
            *((who, APP, 9090) for who in (INGRESS, STRANGER, ELSEWHERE, TEST, REDIS_POD, APP)),
            *((who, APP, 8080) for who in (PROMETHEUS, STRANGER, ELSEWHERE, REDIS_POD, POSTGRESQL,
              APP, another)),
            # Nothing leaves but what has to.
            *((APP, there, 443) for there in (METADATA, PRIVATE, STRANGER, ELSEWHERE)),
            (APP, INTERNET, 80),
            (APP, INTERNET, 5432),
            (APP, INTERNET, 6379),
            *((who, INTERNET, 443) for who in (REDIS_POD, POSTGRESQL, TEST)),
            (POSTGRESQL, DNS, 53),
            (POSTGRESQL, APP, 8080),
            (POSTGRESQL, REDIS_POD, 6379),
            (REDIS_POD, APP, 8080),
            # Nobody has business with the test.
            *((who, TEST, 8080) for who in (APP, INGRESS, STRANGER)),
        )
        if allowed(rules, *flow)
    ]  # fmt: skip
    assert not leaking


@pytest.mark.parametrize("mode", ["sentinel", "cluster", "standalone"])
def test_the_operator_reaches_redis_and_the_api_server_and_nothing_else(mode: str) -> None:
    values = nested(
        operator__enabled=True,
        networkPolicy__apiServer={"cidrs": ["172.18.0.2/32"], "ports": [6443]},
    )
    rules = policies(merged(REDIS[mode], values))
    assert allowed(rules, OPERATOR, REDIS_POD, 6379)
    assert allowed(rules, OPERATOR, REDIS_POD, 26379) is (mode == "sentinel")
    assert allowed(rules, OPERATOR, API_SERVER, 6443)
    assert allowed(rules, OPERATOR, DNS, 53, "UDP")
    assert allowed(rules, PROMETHEUS, OPERATOR, 9090)
    outside = (INTERNET, METADATA, PRIVATE, API_SERVER)
    forbidden: list[tuple[Pod, Pod | Address, int]] = [
        *((OPERATOR, APP, port) for port in (8080, 9090)),
        *((OPERATOR, there, 443) for there in outside),
        (OPERATOR, POSTGRESQL, 5432),
        (OPERATOR, REDIS_POD, 16379),
        # The kubelet asks for its health; that comes from the node.
        *((who, OPERATOR, 8080) for who in (APP, INGRESS, PROMETHEUS, STRANGER, ELSEWHERE)),
        *((who, OPERATOR, 9090) for who in (APP, INGRESS, STRANGER, ELSEWHERE, TEST)),
        (component("operator", instance="another"), REDIS_POD, 6379),
    ]
    assert not [flow for flow in forbidden if allowed(rules, *flow)]
    assert not allowed(policies(REDIS[mode]), OPERATOR, REDIS_POD, 6379), "unless there is one"


def test_the_operator_reaches_an_external_redis_too() -> None:
    values = nested(
        operator__enabled=True,
        networkPolicy__externalRedis={"cidrs": ["10.40.0.0/24"], "ports": [6380]},
    )
    rules = policies(merged(REDIS["external"], values))
    assert allowed(rules, OPERATOR, Address("10.40.0.7"), 6380)
    # Where the API server is, is not known: anywhere, by its ports.
    assert allowed(rules, OPERATOR, API_SERVER, 443)
    assert allowed(rules, OPERATOR, API_SERVER, 6443)
    assert not allowed(rules, OPERATOR, METADATA, 80)


def test_an_external_redis_and_database_are_reached_where_they_are_said_to_be() -> None:
    rules = policies(
        merged(
            nested(
                postgresql__enabled=False,
                externalDatabase__url="postgresql+asyncpg://u:p@db.example/d",
                networkPolicy__externalDatabase={"cidrs": ["10.30.0.0/24"], "ports": [5432]},
                networkPolicy__externalRedis={"cidrs": ["10.40.0.0/24"], "ports": [6380]},
            ),
            REDIS["external"],
        )
    )
    database, redis = Address("10.30.0.7"), Address("10.40.0.7")
    assert allowed(rules, APP, database, 5432)
    assert allowed(rules, APP, redis, 6380)
    assert allowed(rules, MIGRATE, database, 5432)
    assert allowed(rules, MIGRATE, DNS, 53, "UDP")
    assert allowed(rules, TEST, database, 5432)
    assert not allowed(rules, APP, redis, 5432)
    assert not allowed(rules, APP, PRIVATE, 5432)
    assert not allowed(rules, MIGRATE, redis, 6380)
    assert not allowed(rules, MIGRATE, INTERNET, 443)
    assert not allowed(rules, STRANGER, MIGRATE, 8080)


def test_every_worker_of_a_pod_can_be_scraped() -> None:
    rules = rendered(FILES["production-cluster"]).all("NetworkPolicy")
    assert [allowed(rules, PROMETHEUS, APP, 9090 + worker) for worker in range(5)] == [
        True, True, True, True, False,
    ]  # fmt: skip


def test_without_outside_ports_nothing_leaves_the_cluster() -> None:
    rules = policies(nested(networkPolicy__outside__ports=[]))
    assert not allowed(rules, APP, INTERNET, 443)
    assert allowed(rules, APP, REDIS_POD, 6379)


def test_nobody_comes_in_when_no_ingress_is_named() -> None:
    values = nested(ingress__enabled=False, networkPolicy__ingressFrom=[])
    rules = policies(merged(values, nested(networkPolicy__metricsFrom=[])))
    # An empty list of peers would mean everybody.
    assert not any(allowed(rules, who, APP, 8080) for who in (INGRESS, STRANGER, INTERNET))
    assert not any(allowed(rules, who, APP, 9090) for who in (PROMETHEUS, STRANGER, INTERNET))
    assert allowed(rules, TEST, APP, 8080)


@pytest.mark.parametrize("case", FILES)
def test_every_pod_is_selected_in_both_directions(case: str) -> None:
    one = rendered(FILES[case])
    if not one.all("NetworkPolicy"):
        assert case == "single", "policies are on by default"
        return
    for name, pod in pods(one):
        # From where nothing is expected, and to where: a pod that no policy selects lets both.
        labels = Pod(pod["metadata"]["labels"])
        assert not allowed(one.all("NetworkPolicy"), ELSEWHERE, labels, 1), name
        assert not allowed(one.all("NetworkPolicy"), labels, ELSEWHERE, 1), name


def test_pods_carry_the_labels_that_policies_and_services_select() -> None:
    for values in FILES.values():
        assert _unselected(rendered(values)) == []


def _unselected(one: Rendered) -> list[str]:
    found = [pod["metadata"]["labels"] for _, pod in pods(one)]
    return [
        service["metadata"]["name"]
        for service in one.all("Service")
        # The StatefulSet's controller adds the names of its pods.
        if not any(
            {
                k: v
                for k, v in service["spec"]["selector"].items()
                if not k.startswith("statefulset.")
            }.items()
            <= labels.items()
            for labels in found
        )
    ]
