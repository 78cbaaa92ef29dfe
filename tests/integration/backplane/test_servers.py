"""The Redis servers that tests start: what they promise to other tests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.bare import until
from tests.support.cutproxy import CutProxy
from tests.support.processes import wait_until
from tests.support.redis import (
    Cluster,
    Sentinel,
    Standalone,
    redis_cluster,
    redis_sentinel,
    redis_standalone,
)


def test_standalone_is_one_master_without_persistence(redis: Standalone) -> None:
    assert redis.environment()["WEBSOCKET_MANAGER"] == "redis"
    assert redis.master().info("persistence")["aof_enabled"] == 0
    assert redis.master().execute("CONFIG", "GET", "maxmemory-policy") == {
        "maxmemory-policy": "noeviction"
    }


def test_a_restarted_server_has_its_data_with_appendonly_only() -> None:
    with redis_standalone(appendonly=True) as kept, redis_standalone() as lost:
        for servers in (kept, lost):
            servers.master().execute("SET", "key", "value")
            servers.master().restart()
        assert kept.master().execute("GET", "key") == "value"
        assert lost.master().execute("GET", "key") is None


def test_sentinel_names_its_master_and_three_sentinels(redis_sentinel: Sentinel) -> None:
    variables = redis_sentinel.environment()
    assert variables["WEBSOCKET_REDIS_URL"] == "redis://heliograph-master/0"
    assert len(variables["WEBSOCKET_SENTINEL_HOSTS"].split(",")) == 3
    assert redis_sentinel.master().info("replication")["connected_slaves"] == 2


def test_sentinel_promotes_a_replica_of_a_killed_master() -> None:
    with redis_sentinel(down_after_ms=300) as servers:
        old = servers.master()
        with old.client() as client:
            client.execute_command("SET", "key", "value")
            client.execute_command("WAIT", 2, 1000)
        old.kill()
        assert servers.wait_for_failover(old).execute("GET", "key") == "value"


def test_a_cluster_shares_the_slots_among_three_masters(redis_cluster: Cluster) -> None:
    masters = redis_cluster.masters()
    assert len(masters) == 3
    assert all(len(redis_cluster.replicas_of(master)) == 1 for master in masters)
    owner = redis_cluster.master("key")
    owner.execute("SET", "key", "value")
    assert owner.execute("GET", "key") == "value"


def test_a_cluster_promotes_the_replica_of_a_hung_master() -> None:
    with redis_cluster(node_timeout_ms=500) as servers:
        old = servers.master("key")
        old.stop()
        new = servers.wait_for_failover(old, "key")
        old.resume()
        wait_until(lambda: old in servers.replicas_of(new), "the old master follows")


def test_a_slot_moves_with_its_keys(redis_cluster: Cluster) -> None:
    source = redis_cluster.master("{moved}")
    target = next(node for node in redis_cluster.masters() if node is not source)
    for number in range(250):
        source.execute("SET", f"{{moved}}:{number}", number)
    slot = source.execute("CLUSTER", "KEYSLOT", "{moved}")
    assert redis_cluster.move_slots([slot], target) >= 250
    assert redis_cluster.master("{moved}") is target
    assert target.execute("GET", "{moved}:249") == "249"


async def test_a_cut_connection_breaks_and_another_can_be_refused(redis: Standalone) -> None:
    async with CutProxy(redis.master().port) as proxy:
        client = redis_client(proxy.port)
        assert await client.ping()
        proxy.cut()
        with pytest.raises(RedisConnectionError):
            await client.ping()
        proxy.resume()
        assert await client.ping()
        await client.aclose()
        await until(lambda: proxy.connections == 0)


async def test_a_blackhole_answers_after_it_was_resumed(redis: Standalone) -> None:
    async with CutProxy(redis.master().port) as proxy:
        client = redis_client(proxy.port)
        assert await client.ping()
        proxy.blackhole()
        answer = asyncio.ensure_future(client.ping())
        done, _ = await asyncio.wait([answer], timeout=0.1)
        assert not done
        proxy.resume()
        assert await answer
        await client.aclose()


async def test_a_cluster_can_hand_out_the_address_of_a_proxy(redis_cluster: Cluster) -> None:
    node = redis_cluster.master("key")
    async with CutProxy(node.port) as proxy:
        node.execute("CONFIG", "SET", "cluster-announce-port", proxy.port)
        try:
            slots = node.execute("CLUSTER", "SLOTS")
            assert proxy.port in {slot[2][1] for slot in slots}
        finally:
            node.execute("CONFIG", "SET", "cluster-announce-port", 0)


def test_servers_end_with_the_process_that_started_them() -> None:
    program = (
        "from tests.support.redis import redis_standalone\n"
        "with redis_standalone() as servers:\n"
        "    print(servers.master().process.pid, servers.folder, flush=True)\n"
        "    input()\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    pid, folder = starter.stdout.readline().split()
    assert _lives(int(pid))
    starter.send_signal(signal.SIGKILL)
    starter.communicate()
    wait_until(lambda: not _lives(int(pid)), "the server ended")
    wait_until(lambda: not os.path.exists(folder), "its folder is removed")


def redis_client(port: int) -> redis.asyncio.Redis:
    return redis.asyncio.Redis(port=port, retry=Retry(NoBackoff(), 0), socket_timeout=None)


def _lives(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
