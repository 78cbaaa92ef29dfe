"""The backplane itself: what it refuses at start, and what it lives through."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from heliograph.backplane import Backplane, RedisConfig, RedisRefused
from heliograph.errors import ConfigurationError
from tests.support.backplane import open_backplane, redis_settings
from tests.support.bare import until
from tests.support.processes import free_port
from tests.support.redis import Cluster, Sentinel, Standalone, redis_standalone
from tests.support.tls import make_certificate


async def _refusal(settings_of: Standalone | Sentinel, prefix: str, **changes: object) -> str:
    config = RedisConfig.from_settings(redis_settings(settings_of, prefix, **changes))
    backplane = Backplane(config, start_seconds=1.5)
    with pytest.raises(ConfigurationError) as refusal:
        await backplane.start()
    return str(refusal.value)


async def test_an_absent_redis_is_refused_by_the_name_of_its_variable(
    redis: Standalone, redis_prefix: str
) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    said = await _refusal(redis, redis_prefix, websocket_redis_url=nobody)
    assert said.startswith("WEBSOCKET_REDIS_URL: ")
    assert nobody.removeprefix("redis://").removesuffix("/0") in said


async def test_absent_sentinels_are_refused_by_the_name_of_their_variable(
    redis_sentinel: Sentinel, redis_prefix: str
) -> None:
    said = await _refusal(
        redis_sentinel, redis_prefix, websocket_sentinel_hosts=f"127.0.0.1:{free_port()}"
    )
    assert said.startswith("WEBSOCKET_SENTINEL_HOSTS: ")


async def test_a_master_that_no_sentinel_knows_is_named(
    redis_sentinel: Sentinel, redis_prefix: str
) -> None:
    said = await _refusal(redis_sentinel, redis_prefix, websocket_redis_url="redis://other/0")
    assert "'other'" in said


async def test_a_replica_of_redis_is_refused(redis_prefix: str) -> None:
    with redis_standalone(replicas=1) as servers:
        url = f"redis://{servers.nodes[1].address}/0"
        said = await _refusal(servers, redis_prefix, websocket_redis_url=url)
    assert "it is a replica" in said


async def test_one_server_without_a_replica_cannot_be_replicated(
    redis: Standalone, redis_prefix: str
) -> None:
    said = await _refusal(redis, redis_prefix, delivery_durability="replicated")
    assert said.startswith("DELIVERY_DURABILITY: ")
    assert "has no replica" in said


async def test_wrong_credentials_are_said(redis_prefix: str) -> None:
    with redis_standalone() as servers:
        url = f"redis://ann:wrong@{servers.nodes[0].address}/0"
        said = await _refusal(servers, redis_prefix, websocket_redis_url=url)
    assert "WRONGPASS" in said
    assert "wrong@" not in said


async def test_a_user_with_the_documented_rights_is_enough(redis_prefix: str) -> None:
    with redis_standalone() as servers:
        node = servers.nodes[0]
        node.execute(
            "ACL", "SETUSER", "helio", "on", ">s3cret@", f"~{redis_prefix}:*",
            f"&{redis_prefix}:*", "+@all", "-@dangerous", "+info",
        )  # fmt: skip
        url = f"redis://helio:s3cret%40@{node.address}/3"
        async with open_backplane(servers, redis_prefix, websocket_redis_url=url) as backplane:
            await backplane.call("room_position", _room(backplane), ("1000 9 9 9000 t 1 0",))
            assert node.execute("DBSIZE") == 0  # database 3 has it
            with pytest.raises(RedisRefused, match="NOPERM"):
                await backplane.execute("GET", "another-prefix")


async def test_rediss_is_spoken_and_verified(tmp_path: Path, redis_prefix: str) -> None:
    certificate = make_certificate(tmp_path)
    port = free_port()
    with redis_standalone(
        replicas=0, appendonly=False, **certificate.redis_config(port)
    ) as servers:
        url = f"rediss://127.0.0.1:{port}/0"
        trusted = {
            "websocket_redis_url": url,
            "redis_tls_ca_file": str(certificate.certificate),
        }
        async with open_backplane(servers, redis_prefix, **trusted) as backplane:
            await backplane.execute("SET", backplane.key("a", "b"), "c")
        said = await _refusal(servers, redis_prefix, websocket_redis_url=url)
    assert "certificate verify failed" in said


def _room(backplane: Backplane) -> list[str]:
    return [backplane.key("room", "r"), backplane.key("room", "r", "log")]


POLICY = "60000 100 100000 3600000 term 1 0"


async def test_functions_that_were_flushed_are_loaded_again(redis_prefix: str) -> None:
    with redis_standalone() as servers:
        async with open_backplane(servers, redis_prefix) as backplane:
            servers.nodes[0].execute("FUNCTION", "FLUSH")
            epoch, seq = await backplane.call("room_position", _room(backplane), (POLICY,))
            assert (bool(epoch), seq) == (True, 0)


async def test_a_call_that_was_carried_out_before_its_reply_was_lost_counts_once(
    redis: Standalone, redis_prefix: str
) -> None:
    async with open_backplane(redis, redis_prefix) as backplane:
        meta, log = _room(backplane)

        def publish(retried: str) -> asyncio.Future[object]:
            return backplane.call(
                "room_publish", [meta, log], (meta, POLICY, "id-1", retried, b"\x01x")
            )

        first = await publish("0")
        assert await publish("1") == first
        assert await backplane.execute("LLEN", log) == 1


async def test_thousands_of_commands_travel_together(
    redis_cluster: Cluster, redis_prefix: str
) -> None:
    async with open_backplane(redis_cluster, redis_prefix) as backplane:
        keys = [backplane.key("number", str(number)) for number in range(5_000)]
        await asyncio.gather(*(backplane.execute("SET", key, key) for key in keys))
        answers = await asyncio.gather(*(backplane.execute("GET", key) for key in keys))
        assert answers == [key.encode() for key in keys]


async def test_a_hung_master_is_noticed_within_seconds(redis_prefix: str) -> None:
    with redis_standalone() as servers:
        async with open_backplane(servers, redis_prefix) as backplane:
            servers.nodes[0].stop()
            began = time.monotonic()
            await until(lambda: not backplane.available, timeout=20)
            noticed = time.monotonic() - began
            assert "no answer" in backplane.why_unavailable
            servers.nodes[0].resume()
            await until(lambda: backplane.available, timeout=20)
            # Twice the silence that is allowed, and what a busy machine adds.
            assert noticed < 2 * backplane.config.silence + 4


async def test_classic_channels_are_heard_again_after_a_loss(
    redis_cluster: Cluster, redis_prefix: str
) -> None:
    async with open_backplane(redis_cluster, redis_prefix) as backplane:
        channel = f"{redis_prefix}:commands"
        heard: list[bytes] = []
        resumed: list[int] = []
        backplane.listen(channel, heard.append, lambda: resumed.append(1))
        await until(lambda: len(resumed) == 1)
        redis_cluster.nodes[0].execute("PUBLISH", channel, "one")
        await until(lambda: heard == [b"one"])
        for node in redis_cluster.nodes:
            await asyncio.to_thread(node.cut_clients)
        await until(lambda: len(resumed) == 2)
        redis_cluster.nodes[1].execute("PUBLISH", channel, "two")
        await until(lambda: heard == [b"one", b"two"])
