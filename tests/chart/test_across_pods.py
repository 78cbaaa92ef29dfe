"""What ``helm test`` runs, on a fleet of this machine: it passes, and says what is wrong."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from heliograph.identity import Users
from heliograph.store import Database
from tests.chart.helm import CHART
from tests.fleet import Fleet, run_fleet
from tests.support.redis import redis_standalone

SCRIPT = CHART / "files" / "test" / "across_pods.py"


@pytest.fixture
def pods(postgres_url: str) -> Iterator[Fleet]:
    """Two replicas with a Redis of their own, on an empty database."""
    with (
        redis_standalone() as redis,
        run_fleet(redis, replicas=2, database_url=postgres_url) as fleet,
    ):
        yield fleet


def across_pods(
    fleet: Fleet, *, replicas: int = 2, wanted: int = 2, seconds: int = 60
) -> tuple[int, str]:
    """Its exit code and what it said."""
    addresses = ",".join(
        replica.url.removeprefix("http://") for replica in fleet.replicas[:replicas]
    )
    variables = {
        "TEST_PODS": addresses,
        "TEST_PODS_WANTED": str(wanted),
        "TEST_SECONDS": str(seconds),
    }
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env={**fleet.replicas[0].environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_an_event_reaches_the_other_pods_and_nothing_is_left(pods: Fleet) -> None:
    code, said = across_pods(pods)
    assert code == 0, said
    first, second = sorted(replica.url.removeprefix("http://") for replica in pods.replicas)
    assert f"an event sent at pod {first} arrived at pod {second}" in said
    assert said.endswith("passed\n")
    assert asyncio.run(_next_role(pods.database_url)) == "admin"

    # A single pod is tested by itself, unless there should be more.
    code, said = across_pods(pods, replicas=1, wanted=1)
    assert code == 0, said
    assert "there is one replica: both clients connect to it" in said
    code, said = across_pods(pods, replicas=1, wanted=2, seconds=4)
    assert code == 1
    assert "FAILED: 1 of at least 2 pods of the app run" in said


async def _next_role(url: str) -> str:
    """The role of the next account: the first of all is the administrator's."""
    async with Database(url) as database:
        user = await Users(database).add("first", "First", "first@example.org", None, "user")
        assert user is not None
        return user.role


def test_it_fails_in_a_sentence_when_a_pod_or_redis_is_away(pods: Fleet) -> None:
    pods.replicas[1].kill()
    code, said = across_pods(pods, seconds=4)
    assert code == 1
    assert f"FAILED: pod 127.0.0.1:{pods.replicas[1].port} does not answer" in said

    pods.redis.nodes[0].kill()
    code, said = across_pods(pods, replicas=1, wanted=1, seconds=20)
    assert code == 1
    last = said.splitlines()[-1]
    assert last.startswith(f"FAILED: pod 127.0.0.1:{pods.replicas[0].port} is not ready: Redis:")
    assert "Traceback" not in said
