"""The classes for programs beside the server, on every way to run Redis, through failovers."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio.sentinel
import redis.exceptions
import redis.sentinel

from heliograph.backplane import RedisDict, RedisLock, SentinelRedisProxy, connect
from heliograph.errors import ConfigurationError, Unavailable
from heliograph.settings import Settings
from tests.support.backplane import redis_settings
from tests.support.processes import free_port, wait_until
from tests.support.redis import (
    MASTER_NAME,
    Cluster,
    RedisServers,
    Sentinel,
    Standalone,
    redis_cluster,
    redis_sentinel,
    redis_standalone,
)
from tests.support.tls import make_certificate

KINDS = ["redis", "redis_sentinel", "redis_cluster"]


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, redis_prefix: str) -> Iterator[Any]:
    """What ``connect`` gives, on each kind of Redis."""
    servers: RedisServers = request.getfixturevalue(request.param)
    with contextlib.closing(connect(redis_settings(servers, redis_prefix))) as made:
        yield made


@pytest.fixture
def table(client: Any, redis_prefix: str) -> RedisDict:
    """An empty dictionary."""
    return RedisDict(f"{redis_prefix}:models", client=client)


# -- dictionaries ------------------------------------------------------------------------


def test_a_dictionary_keeps_json_values(table: RedisDict) -> None:
    value = {"name": "Grüße ☀", "tags": [1, None, True], "deep": {"x": 1.5}}
    table["a"] = value
    table["b"] = None
    assert table["a"] == value
    assert table.get("b", 7) is None
    assert ("a" in table, "c" in table, len(table)) == (True, False, 2)
    assert table.get("c") is None
    assert table.get("c", 7) == 7
    assert sorted(table.keys()) == sorted(table) == ["a", "b"]
    assert dict(table.items()) == {"a": value, "b": None}
    assert len(table.values()) == 2
    assert value in table.values()


def test_what_is_not_in_a_dictionary_is_a_key_error(table: RedisDict) -> None:
    with pytest.raises(KeyError):
        table["c"]
    with pytest.raises(KeyError):
        del table["c"]
    table["c"] = 1
    del table["c"]
    assert "c" not in table


def test_set_replaces_all_and_update_adds(table: RedisDict) -> None:
    table["old"] = 1
    table.set({"a": 1, "b": [2]})
    assert dict(table.items()) == {"a": 1, "b": [2]}
    table.update({"b": 3}, c=4)
    assert dict(table.items()) == {"a": 1, "b": 3, "c": 4}
    table.update()
    assert table.setdefault("c", 5) == 4
    assert table.setdefault("d", 5) == 5
    many = {str(number): number for number in range(20_000)}
    table.set(many)
    assert dict(table.items()) == many
    table.set({})
    assert len(table) == 0
    table["x"] = 1
    table.clear()
    assert table.items() == []


def test_a_value_without_json_form_changes_nothing(table: RedisDict) -> None:
    table["a"] = 1
    with pytest.raises(TypeError):
        table.set({"a": object()})
    assert table["a"] == 1


def test_a_client_with_bytes_does_as_well(redis: Standalone, redis_prefix: str) -> None:
    client = connect(redis_settings(redis, redis_prefix), decode_responses=False)
    with contextlib.closing(client):
        table = RedisDict(f"{redis_prefix}:bytes", client=client)
        table["ü"] = ["ü"]
        assert table.items() == [("ü", ["ü"])]
        assert RedisLock(None, f"{redis_prefix}:lock", 5, client=client).acquire_lock()


# -- locks -------------------------------------------------------------------------------


def test_a_lock_has_one_owner(client: Any, redis_prefix: str) -> None:
    ann, ben = (RedisLock(None, f"{redis_prefix}:lock", 30, client=client) for _ in range(2))
    assert ann.aquire_lock() is True
    assert ann.lock_obtained
    assert ben.acquire_lock() is False
    assert ben.renew_lock() is False
    assert ben.release_lock() is False
    assert ann.renew_lock() is True
    assert ann.release_lock() is True
    assert ann.renew_lock() is False
    assert ben.aquire_lock() is True


def test_a_lock_expires_and_its_old_owner_can_do_nothing_to_the_new_one(
    client: Any, redis_prefix: str
) -> None:
    ann = RedisLock(None, f"{redis_prefix}:lock", 0.2, client=client)
    ben = RedisLock(None, f"{redis_prefix}:lock", 30, client=client)
    assert ann.acquire_lock()
    wait_until(ben.acquire_lock, "the lock has expired", timeout=5)
    assert not ann.renew_lock()
    assert not ann.release_lock()
    assert ben.renew_lock()


def test_renewing_keeps_a_lock(client: Any, redis_prefix: str) -> None:
    ann, ben = (RedisLock(None, f"{redis_prefix}:lock", 0.4, client=client) for _ in range(2))
    assert ann.acquire_lock()
    until = time.monotonic() + 1
    while time.monotonic() < until:
        assert not ben.acquire_lock()
        assert ann.renew_lock()
        time.sleep(0.05)


# -- addresses ---------------------------------------------------------------------------


def test_an_address_may_be_given_as_in_open_webui(
    redis: Standalone, redis_sentinel: Sentinel, redis_cluster: Cluster, redis_prefix: str
) -> None:
    name = f"{redis_prefix}:old"
    sentinels: list[tuple[str, int | str]] = [
        ("127.0.0.1", node.port) for node in redis_sentinel.sentinels
    ]
    nodes = f"redis://{redis_cluster.nodes[0].address}/0"
    addresses: list[tuple[str, list[tuple[str, int | str]], bool]] = [
        (f"redis://{redis.nodes[0].address}/0", [], False),
        (f"redis://{MASTER_NAME}:6379/0", sentinels, False),
        (nodes, [], True),
    ]
    for url, hosts, cluster in addresses:
        table = RedisDict(name, url, hosts, cluster)
        table["a"] = 1
        assert RedisDict(name, url, hosts, cluster)["a"] == 1
        assert RedisLock(url, f"{name}:lock", 5, hosts, cluster).aquire_lock()
        table.redis.close()


def test_the_environment_says_where_redis_is(
    redis: Standalone, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in redis.environment().items():
        monkeypatch.setenv(variable, value)
    table = RedisDict(f"{redis_prefix}:env")
    table["a"] = 1
    assert RedisDict(f"{redis_prefix}:env", client=connect())["a"] == 1


def test_an_address_that_cannot_be_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="WEBSOCKET_REDIS_URL"):
        connect(Settings())
    with pytest.raises(ConfigurationError, match="redis_url"):
        RedisDict("a", "http://127.0.0.1")


def test_rediss_is_spoken_and_verified(tmp_path: Path, redis_prefix: str) -> None:
    certificate = make_certificate(tmp_path)
    port = free_port()
    with redis_standalone(
        replicas=0, appendonly=False, **certificate.redis_config(port)
    ) as servers:
        where = {"websocket_redis_url": f"rediss://127.0.0.1:{port}/0"}
        trusted = redis_settings(
            servers, redis_prefix, **where, redis_tls_ca_file=str(certificate.certificate)
        )
        table = RedisDict("tls", client=connect(trusted))
        table["a"] = 1
        assert table["a"] == 1
        strange = RedisDict(
            "tls", client=connect(redis_settings(servers, redis_prefix, **where)), deadline=0.2
        )
        with pytest.raises(Unavailable, match=r"(?i)certificate"):
            strange["a"] = 1


# -- failovers ---------------------------------------------------------------------------


@contextlib.contextmanager
def _breakable(kind: str) -> Iterator[RedisServers]:
    with contextlib.ExitStack() as stack:
        if kind == "redis":
            yield stack.enter_context(redis_standalone(appendonly=True))
        elif kind == "redis_sentinel":
            yield stack.enter_context(redis_sentinel(down_after_ms=500))
        else:
            yield stack.enter_context(redis_cluster(node_timeout_ms=1000))


def _replaced(servers: RedisServers, key: str) -> None:
    old = servers.master(key)
    if isinstance(servers, Standalone):
        old.restart()
    elif isinstance(servers, Cluster):
        servers.wait_for_replicas(1, old)
        old.kill()
    else:
        old.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_dictionaries_and_locks_outlast_the_death_of_their_master(
    kind: str, redis_prefix: str
) -> None:
    with _breakable(kind) as servers:
        settings = redis_settings(servers, redis_prefix, redis_socket_timeout=0.5)
        with contextlib.closing(connect(settings)) as client:
            table = RedisDict("{x}:table", client=client, deadline=30)
            lock = RedisLock(None, "{x}:lock", 60, client=client, deadline=30)
            for number in range(10):
                table[str(number)] = number
            assert lock.acquire_lock()
            breaking = threading.Thread(target=_replaced, args=(servers, "{x}:table"))
            breaking.start()
            for number in range(10, 400):
                table[str(number)] = number
                time.sleep(0.002)
            breaking.join()
            table["last"] = "last"
            assert len(table) >= 390  # what its replica did not have yet is lost
            assert lock.renew_lock() or lock.acquire_lock()


def test_the_proxy_outlasts_a_killed_master(redis_prefix: str) -> None:
    with redis_sentinel(down_after_ms=500) as servers, _proxy(servers, attempts=100) as proxy:
        proxy.set("key", "before")
        old = servers.master()
        with old.client() as direct:
            direct.execute_command("WAIT", 2, 1000)
        old.kill()
        proxy.set("key", "after")
        assert proxy.get("key") == "after"
        assert proxy.pipeline().set("key", "pipe").get("key").execute() == [True, "pipe"]
        assert servers.master() is not old


def test_the_proxy_leaves_a_hung_master(redis_prefix: str) -> None:
    with redis_sentinel(down_after_ms=500) as servers, _proxy(servers, attempts=100) as proxy:
        proxy.set("key", "before")
        servers.master().stop()
        proxy.set("key", "after")
        assert proxy.get("key") == "after"


def test_the_proxy_follows_a_planned_failover(redis_prefix: str) -> None:
    with redis_sentinel(down_after_ms=500) as servers, _proxy(servers, attempts=100) as proxy:
        old = servers.master()
        proxy.set("key", 0)
        servers.failover()
        written = 0
        while servers.master() is old or written < 50:
            written += 1
            proxy.set("key", written)
            assert proxy.get("key") == str(written)


@contextlib.contextmanager
def _proxy(servers: Sentinel, *, attempts: int) -> Iterator[Any]:
    settings = redis_settings(
        servers,
        "any",
        redis_socket_timeout=0.3,
        redis_sentinel_max_retry_count=attempts,
        redis_reconnect_delay=100,
    )
    proxy = connect(settings)
    assert isinstance(proxy, SentinelRedisProxy)
    with contextlib.closing(proxy):
        yield proxy


def test_the_proxy_tries_as_often_as_it_was_told() -> None:
    tries: list[str] = []

    class Nobody:
        def master_for(self, service: str, **kw: Any) -> Any:
            class Master:
                answer = 42

                def get(self, key: str) -> None:
                    tries.append(key)
                    raise redis.exceptions.ReadOnlyError("a replica now")

                def auth(self) -> None:
                    tries.append("auth")
                    raise redis.exceptions.AuthenticationError("wrong password")

            return Master()

    proxy = SentinelRedisProxy(
        Nobody(), "m", async_mode=False, max_retry_count=3, reconnect_delay=1
    )
    assert proxy.answer == 42
    with pytest.raises(redis.exceptions.ReadOnlyError):
        proxy.get("a")
    assert tries == ["a"] * 3
    with pytest.raises(redis.exceptions.AuthenticationError):
        proxy.auth()
    assert tries[3:] == ["auth"], "that does not become right by itself"
    with pytest.raises(AttributeError):
        _ = proxy.no_such_thing


async def test_the_proxy_of_asyncio_outlasts_a_killed_master(redis_prefix: str) -> None:
    with redis_sentinel(down_after_ms=500) as servers:
        addresses = [("127.0.0.1", node.port) for node in servers.sentinels]
        sentinel = redis.asyncio.sentinel.Sentinel(  # type: ignore[no-untyped-call]
            addresses, sentinel_kwargs={"socket_timeout": 0.3}
        )
        proxy = SentinelRedisProxy(
            sentinel, MASTER_NAME, max_retry_count=100, socket_timeout=0.3, decode_responses=True
        )
        await proxy.set("key", "before")
        servers.master().kill()
        await proxy.set("key", "after")
        assert await proxy.get("key") == "after"
        assert [key async for key in proxy.scan_iter()] == ["key"]
        await proxy.aclose()
        for each in sentinel.sentinels:
            await each.aclose()


def test_an_operation_on_a_redis_that_stays_away_fails_after_its_deadline() -> None:
    gone = Settings.model_validate({"websocket_redis_url": f"redis://127.0.0.1:{free_port()}/0"})
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"within 0\.5 s"):
        RedisDict("a", client=connect(gone), deadline=0.5)["a"] = 1
    assert time.monotonic() - began < 3
