"""The chart's Redis pods, as processes: how they start, and what they live through.

Real scripts and servers (redis_pods.py); what only a cluster can show (volumes, Services, the
kubelet) is in tests/kind.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from tests.chart.helm import nested
from tests.chart.redis_pods import Pod, Pods, redis_pods
from tests.support.processes import wait_until

KEYS = [f"heliograph:{index}" for index in range(8)]


@pytest.fixture
def sentinel() -> Iterator[Pods]:
    """Three pods under Sentinels."""
    with redis_pods("sentinel") as pods:
        yield pods


@pytest.fixture
def cluster() -> Iterator[Pods]:
    """A cluster of six pods on three nodes; nothing is moved for its place."""
    with redis_pods("cluster", nested(redis__cluster__rebalanceAfterSeconds=0)) as pods:
        yield pods


def owner(pods: Pods, key: str) -> Pod | None:
    """The pod that takes writes of ``key``, by its own word and the latest epoch."""
    if pods.mode != "cluster":
        masters = pods.masters()
        return masters[0] if len(masters) == 1 else None
    claims: list[tuple[int, int]] = []
    for pod in pods:
        with contextlib.suppress(redis.RedisError, OSError):
            for line in str(pod.execute("CLUSTER", "NODES")).splitlines():
                fields = line.split()
                if "myself" not in fields[2] or "master" not in fields[2]:
                    continue
                for part in fields[8:]:
                    first, _, last = part.strip("[]").partition("-")
                    if int(first) <= key_slot(key.encode()) <= int(last or first):
                        claims.append((int(fields[6]), pod.ordinal))
    return pods[max(claims)[1]] if claims else None


# Two writes: they are a transaction in what Redis keeps of them, as those of the app's functions.
WRITE = "redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1])"


def write(pods: Pods, value: str, *, replicated: bool = True, timeout: float = 45) -> float:
    """Write all keys, each confirmed by a replica; the seconds it took."""
    began = time.monotonic()

    def written(key: str) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            if (pod := owner(pods, key)) is not None:
                pod.execute("EVAL", WRITE, 1, key, value, user="heliograph")
                return not replicated or bool(pod.execute("WAIT", 1, 500, user="heliograph"))
        return False

    for key in KEYS:
        wait_until(lambda key=key: written(key), f"{key} is written", timeout=timeout)  # type: ignore[misc]
    return time.monotonic() - began


def read(pods: Pods) -> set[Any]:
    """The values of all keys, once they can be read."""
    found: dict[str, Any] = {}

    def seen(key: str) -> bool:
        with contextlib.suppress(redis.RedisError, OSError):
            if (pod := owner(pods, key)) is not None:
                found[key] = pod.execute("GET", key, user="heliograph")
        return key in found

    for key in KEYS:
        wait_until(lambda key=key: seen(key), f"{key} is read")  # type: ignore[misc]
    return set(found.values())


def settle(pods: Pods) -> None:
    """Until all are ready and the Sentinels are quick again."""
    pods.wait_ready()
    if pods.mode == "sentinel":
        quick = "down-after-milliseconds heliograph 2000"
        confs = [pod.data / "sentinel" / "sentinel.conf" for pod in pods]
        wait_until(lambda: all(quick in conf.read_text() for conf in confs), "they are quick")


def test_the_first_pod_is_the_first_master(sentinel: Pods) -> None:
    assert [pod.role() for pod in sentinel] == ["master", "slave", "slave"]


@pytest.mark.parametrize("mode", ["sentinel", "cluster"])
def test_all_pods_killed_at_once_come_back_with_what_they_had(mode: str) -> None:
    with redis_pods(mode) as pods:
        for turn in ("first", "second", "third"):
            write(pods, turn)
            pods.kill()
            pods.start()
            assert read(pods) == {turn}
            write(pods, "after")
        pods.wait_ready()
        masters = 1 if mode == "sentinel" else 3
        assert len(pods.masters()) == masters


def test_a_dead_master_is_replaced_and_comes_back_as_a_replica(sentinel: Pods) -> None:
    settle(sentinel)
    write(sentinel, "before")
    old = sentinel[0]
    old.kill()
    write(sentinel, "meanwhile")
    old.start()
    settle(sentinel)
    assert old.role() == "slave"
    assert read(sentinel) == {"meanwhile"}


def test_a_master_that_comes_back_at_once_leaves_its_place_to_who_followed_it(
    sentinel: Pods,
) -> None:
    """Its append-only file may lack the last writes, which the other has."""
    settle(sentinel)
    write(sentinel, "confirmed")
    old = sentinel[0]
    old.kill()
    old.lose_last_writes()
    old.start()
    settle(sentinel)
    assert old.role() == "slave"
    assert read(sentinel) == {"confirmed"}


def test_a_master_that_is_stopped_hands_over_first(sentinel: Pods) -> None:
    settle(sentinel)
    write(sentinel, "before")
    began = time.monotonic()
    assert sentinel[0].script("pre-stop.sh") == 0
    assert time.monotonic() - began < 30, "the kubelet waits no longer"
    assert sentinel[0].role() == "slave"
    assert read(sentinel) == {"before"}
    write(sentinel, "after")


@pytest.mark.parametrize("all_at_once", [False, True])
def test_a_master_that_lost_its_volume_does_not_empty_the_others(
    sentinel: Pods, all_at_once: bool
) -> None:
    settle(sentinel)
    write(sentinel, "precious")
    if all_at_once:
        sentinel.kill()
        sentinel[0].lose_volume()
        sentinel.start()
    else:
        sentinel[0].kill()
        sentinel[0].lose_volume()
        sentinel[0].start()
    write(sentinel, "later")
    settle(sentinel)
    assert read(sentinel) == {"later"}
    assert sentinel[0].role() == "slave"


def test_a_second_master_is_demoted(sentinel: Pods) -> None:
    settle(sentinel)
    sentinel[1].execute("REPLICAOF", "NO", "ONE")
    wait_until(lambda: sentinel[1].role() == "slave", "it is demoted", timeout=20)
    sentinel.wait_ready()


def test_a_pod_that_the_sentinels_name_becomes_the_master(sentinel: Pods) -> None:
    settle(sentinel)
    for pod in sentinel:  # theirs alone would take 25 s
        pod.execute("REPLICAOF", "127.0.0.1", sentinel[1].port)
    wait_until(lambda: sentinel.masters() == [sentinel[0]], "one master", timeout=25)


def test_a_volume_is_used_by_one_server_at_a_time(sentinel: Pods) -> None:
    """A pod deleted by force is replaced while its processes still run."""
    pod = sentinel[2]
    old = pod.containers["redis"]
    pod.start("redis")
    time.sleep(2)
    assert old.alive
    assert pod.log().count("Redis is starting") == 1
    old.kill()
    wait_until(lambda: pod.log().count("Redis is starting") == 2, "the next has started")


def test_a_cluster_has_its_masters_on_three_nodes_and_replicas_on_others(cluster: Pods) -> None:
    assert {pod.node for pod in cluster.masters()} == {"node-0", "node-1", "node-2"}
    for pod in cluster:
        if pod.role() == "slave":
            assert _master_of(cluster, pod).node != pod.node


def _master_of(pods: Pods, pod: Pod) -> Pod:
    port = int(pod.execute("INFO", "replication")["master_port"])
    return next(each for each in pods if each.port == port)


def test_masters_that_gathered_on_a_node_are_moved_apart() -> None:
    with redis_pods("cluster", nested(redis__cluster__rebalanceAfterSeconds=2)) as pods:
        write(pods, "before")
        pods[0].kill()
        write(pods, "meanwhile", replicated=False)
        pods[0].start()

        def apart() -> bool:
            masters = pods.masters()
            return len(masters) == 3 == len({pod.node for pod in masters})

        wait_until(apart, "masters on three nodes", timeout=30)
        assert read(pods) == {"meanwhile"}


def test_a_master_of_a_cluster_hands_over_before_it_stops(cluster: Pods) -> None:
    write(cluster, "before")
    assert cluster[0].script("pre-stop.sh") == 0
    assert cluster[0].role() == "slave"
    assert read(cluster) == {"before"}


def test_a_node_that_comes_back_at_once_leaves_its_place_to_its_replica(cluster: Pods) -> None:
    write(cluster, "confirmed")
    old = cluster[1]
    old.kill()
    old.lose_last_writes()
    old.start()
    cluster.wait_ready()
    assert old.role() == "slave"
    assert read(cluster) == {"confirmed"}


def test_nodes_that_lost_their_volumes_are_given_a_place_and_no_data_is_lost(
    cluster: Pods,
) -> None:
    """Two of three masters: the cluster alone could not decide anything any more."""
    write(cluster, "precious")
    cluster.kill()
    cluster[0].lose_volume()
    cluster[1].lose_volume()
    cluster.start()
    write(cluster, "later")
    cluster.wait_ready()
    assert read(cluster) == {"later"}
    assert len(cluster.masters()) == 3


def test_pods_without_any_volume_form_anew(cluster: Pods) -> None:
    cluster.kill()
    for pod in cluster:
        pod.lose_volume()
    cluster.start()
    write(cluster, "new")


def test_addresses_of_a_former_installation_are_forgotten(sentinel: Pods) -> None:
    """Uninstalled and installed again with the same volumes: the Services have new addresses."""
    settle(sentinel)
    assert sentinel[0].script("pre-stop.sh") == 0
    write(sentinel, "kept")
    [master] = sentinel.masters()
    sentinel.kill()
    sentinel.move()
    sentinel.start()
    assert read(sentinel) == {"kept"}
    assert sentinel.masters() == [master]
    write(sentinel, "after")


def test_a_cluster_finds_itself_again_at_new_addresses(cluster: Pods) -> None:
    write(cluster, "kept")
    cluster.kill()
    cluster.move()
    cluster.start()
    write(cluster, "after")
    cluster.wait_ready()
    assert read(cluster) == {"after"}


@pytest.mark.parametrize("mode", ["sentinel", "cluster"])
def test_who_connected_while_a_pod_came_connects_once_more(mode: str) -> None:
    with redis_pods(mode) as pods:
        wait_until(lambda: pods[1].role() != "", "it answers")
        password = pods.password("heliograph")
        with redis.Redis(
            host=pods.host, port=pods[1].port, username="heliograph", password=password,
            single_connection_client=True, retry=Retry(NoBackoff(), 0),
        ) as early:  # fmt: skip
            early.ping()

            def ended() -> bool:
                try:
                    early.ping()
                except redis.ConnectionError:
                    return True
                return False

            wait_until(ended, "the early connection is ended", timeout=60)
        wait_until(lambda: all("made anew" in pod.log("keeper") for pod in pods), "all pods did it")
        assert all(pod.log("keeper").count("made anew") == 1 for pod in pods)
        assert pods.password("keeper") not in "".join(pod.log("keeper") for pod in pods)
        write(pods, "after")
        assert read(pods) == {"after"}
