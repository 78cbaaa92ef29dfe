"""What the chart makes of `redis`, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.helm import FULLNAME, NAMESPACE, Refused, nested, render

REDIS = f"{FULLNAME}-redis"


def _render(**paths: Any) -> Any:
    return render(nested(postgresql__enabled=True, **paths))


def _app_env(**paths: Any) -> dict[str, Any]:
    spec = _render(**paths).one("Deployment")["spec"]["template"]["spec"]
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in spec["containers"][0]["env"]
    }


def _container(rendered: Any, name: str) -> Any:
    spec = rendered.one("StatefulSet", REDIS)["spec"]["template"]["spec"]
    return next(each for each in spec["containers"] if each["name"] == name)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ({"redis__sentinel__replicas": 4}, "Set 3 or 5."),
        ({"redis__sentinel__minReplicasToWrite": 2}, "the loss of one pod would stop all writes"),
        ({"redis__maxmemoryMiB": 1000}, "Lower it to 819, or raise the limit."),
        ({"redis__extraConfig": {"maxmemory-policy": "allkeys-lru"}}, "decided by the chart"),
        ({"redis__extraConfig": {"cluster-enabled": True}}, "decided by the chart"),
        (
            {"redis__mode": "standalone", "redis__durability": "replicated"},
            "no replica to wait for",
        ),
        (
            {"redis__mode": "external", "redis__external__url": "redis://a",
             "redis__external__cluster": True, "redis__external__sentinelHosts": ["b"]},
            "exclude each other",
        ),
        (
            {"redis__mode": "external", "redis__external__url": "redis://a",
             "redis__external__caSecret": "ca"},
            "write rediss://",
        ),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_in_a_sentence(paths: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        _render(**paths)


@pytest.mark.parametrize(("replicas", "quorum"), [(3, "2"), (5, "3")])
def test_the_quorum_is_more_than_half(replicas: int, quorum: str) -> None:
    rendered = _render(redis__sentinel__replicas=replicas)
    env = {each["name"]: each.get("value") for each in _container(rendered, "sentinel")["env"]}
    assert env["QUORUM"] == quorum


@pytest.mark.parametrize(("mode", "pods"), [("sentinel", 3), ("cluster", 6)])
def test_each_pod_has_a_service_that_it_does_not_find_in_its_own_hosts_file(
    mode: str, pods: int
) -> None:
    rendered = _render(redis__mode=mode)
    env = {each["name"]: each.get("value") for each in _container(rendered, "redis")["env"]}
    peers = env["PEERS"].split()
    assert [peer.split(":")[0] for peer in peers] == [
        f"{REDIS}-{ordinal}.{NAMESPACE}.svc" for ordinal in range(pods)
    ]
    for ordinal in range(pods):
        spec = rendered.one("Service", f"{REDIS}-{ordinal}")["spec"]
        assert spec["publishNotReadyAddresses"]
        assert spec["selector"]["statefulset.kubernetes.io/pod-name"] == f"{REDIS}-{ordinal}"


def test_the_app_is_told_where_the_sentinels_are() -> None:
    env = _app_env()
    assert env["WEBSOCKET_REDIS_URL"] == "redis://heliograph:$(REDIS_PASSWORD)@heliograph/0"
    assert env["WEBSOCKET_SENTINEL_HOSTS"].count(",") == 2
    assert env["DELIVERY_DURABILITY"] == "replicated"


def test_the_app_is_told_that_it_is_a_cluster() -> None:
    env = _app_env(redis__mode="cluster", redis__tls__enabled=True)
    assert env["WEBSOCKET_REDIS_URL"].startswith("rediss://")
    assert env["WEBSOCKET_REDIS_CLUSTER"] == "True"
    assert env["REDIS_TLS_CA_FILE"]


def test_one_pod_has_no_replica_to_wait_for() -> None:
    assert _app_env(redis__mode="standalone")["DELIVERY_DURABILITY"] == "memory"


def test_a_redis_of_ones_own_is_reached_by_a_secret() -> None:
    env = _app_env(
        redis__mode="external",
        redis__external__existingSecret="mine",
        redis__external__sentinelHosts=["a", "b:26380"],
        redis__external__sentinelPasswordSecret="theirs",
    )
    assert env["WEBSOCKET_REDIS_URL"] == {"secretKeyRef": {"name": "mine", "key": "url"}}
    assert env["WEBSOCKET_SENTINEL_HOSTS"] == "a,b:26380"
    assert env["REDIS_SENTINEL_PASSWORD"]["secretKeyRef"]["name"] == "theirs"
    rendered = _render(redis__mode="external", redis__external__url="rediss://u:p@h:1/0")
    assert not rendered.has("StatefulSet", REDIS)
    assert rendered.has("Secret", f"{REDIS}-external")


def test_the_app_s_version_does_not_restart_redis() -> None:
    template = _render().one("StatefulSet", REDIS)["spec"]["template"]
    assert "app.kubernetes.io/version" not in template["metadata"]["labels"]


def test_a_change_of_configuration_does() -> None:
    def checksum(**paths: Any) -> str:
        template = _render(**paths).one("StatefulSet", REDIS)["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/files"])

    assert checksum() != checksum(redis__extraConfig={"slowlog-max-len": 512})


def test_there_is_time_to_hand_over() -> None:
    spec = _render().one("StatefulSet", REDIS)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] >= 15 + 8


def test_the_password_of_the_database_stays_with_its_volume() -> None:
    kept = _render().one("Secret", f"{FULLNAME}-postgresql")
    assert kept["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    gone = _render(postgresql__persistence__whenDeleted="Delete")
    assert "annotations" not in gone.one("Secret", f"{FULLNAME}-postgresql")["metadata"]
