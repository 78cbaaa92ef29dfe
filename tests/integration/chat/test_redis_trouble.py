"""Redis hangs, or dies and loses its memory, while an answer streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.chat.conftest import KEY
from tests.integration.chat.support import begin_talk, get_chat, messages_of, text_of
from tests.integration.chat.test_replicas import begin
from tests.support.pair import Pair, running_pair
from tests.support.redis import Standalone, redis_standalone
from tests.support.upstream import Reply, Upstream


@pytest.fixture
def own_redis() -> Iterator[Standalone]:
    """A Redis of this test, which breaks it."""
    with redis_standalone() as servers:
        yield servers


@pytest.fixture
async def shaky(
    own_redis: Standalone, redis_prefix: str, postgres: str, tmp_path: Path, upstream: Upstream
) -> AsyncIterator[Pair]:
    """Two servers on it."""
    model: dict[str, Any] = {"openai_api_base_url": upstream.url, "openai_api_key": KEY}
    model["chat_settle_seconds"] = 0.1
    async with running_pair(postgres, own_redis, redis_prefix, tmp_path, **model) as running:
        yield running


class Stepwise:
    """An upstream that sends a word at each :meth:`step`."""

    def __init__(self, upstream: Upstream) -> None:
        self._words: asyncio.Queue[str | None] = asyncio.Queue()
        upstream.script(self._script)

    async def _script(self, reply: Reply) -> None:
        await reply.begin()
        while (word := await self._words.get()) is not None:
            await reply.delta(word)
        await reply.finish()

    def step(self, word: str | None) -> None:
        self._words.put_nowait(word)


async def test_an_answer_goes_on_after_redis_hung(
    shaky: Pair, own_redis: Standalone, upstream: Upstream
) -> None:
    model = Stepwise(upstream)
    begun, there = await begin(shaky)
    page = await there.connect()
    await page.call("join-chat", {"chat_id": begun.talk.chat_id})
    model.step("before ")
    await begun.delta()
    own_redis.master().stop()
    for number in range(5):
        model.step(f"{number} ")
        await asyncio.sleep(0.1)  # the time that the outage takes
    own_redis.master().resume()
    model.step("after")
    model.step(None)
    assert (await begun.end())[1]["content"] == "before 0 1 2 3 4 after"
    assert text_of(begun.deltas()) == "before 0 1 2 3 4 after"
    stored = messages_of(await get_chat(there, begun.talk.chat_id))[begun.message_id]
    assert (stored["content"], stored["state"]) == ("before 0 1 2 3 4 after", "finished")


async def test_an_answer_ends_whole_when_redis_lost_its_memory(
    shaky: Pair, own_redis: Standalone, upstream: Upstream
) -> None:
    model = Stepwise(upstream)
    begun, there = await begin(shaky)
    model.step("before ")
    await begun.delta()
    own_redis.master().kill()
    model.step("meanwhile ")
    await asyncio.to_thread(own_redis.master().restart)
    model.step("after")
    model.step(None)
    async with asyncio.timeout(30):
        while True:
            stored = messages_of(await get_chat(there, begun.talk.chat_id))[begun.message_id]
            if stored["done"]:
                break
            await asyncio.sleep(0.05)
    # The replicas' leases are gone, too: whatever comes first.
    whole = "before meanwhile after"
    assert stored["state"] in ("finished", "interrupted")
    assert whole.startswith(stored["content"])
    assert stored["content"].startswith("before ")
    if stored["state"] == "finished":
        assert stored["content"] == whole
    again = await begin_talk(shaky.b, "ben")
    model.step("fresh")
    model.step(None)
    await (await again.begin()).end()
