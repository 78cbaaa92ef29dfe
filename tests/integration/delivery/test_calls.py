"""Calls to sessions of other replicas, and of sessions that move while they are asked."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import pytest

from heliograph.errors import CallFailed
from tests.support.bare import Bare, Processes, Run, until
from tests.support.raw import Raw


class Browser(Raw):
    """A client that can be asked."""

    async def asked(self) -> tuple[int, Any]:
        """The next call: its ack id and data."""
        while True:
            text = str(await asyncio.wait_for(self.ws.recv(), 10))
            if text.startswith("42") and text[2].isdigit():
                number, _, rest = text[2:].partition("[")
                return int(number), json.loads(f"[{rest}")[1]

    async def answer(self, ack_id: int, value: Any) -> None:
        """Acknowledge a call."""
        await self.ws.send(f"43{ack_id}{json.dumps([value])}")

    async def asked_nothing_more(self, bare: Bare) -> None:
        """Fails when a call has come."""
        await bare.hub.publish("user:ann", "end", "end")
        while True:
            text = str(await asyncio.wait_for(self.ws.recv(), 10))
            assert not text[2:3].isdigit(), text
            if '"end"' in text:
                return


def _call(bare: Bare, sid: str, data: Any = None, timeout: float = 30) -> asyncio.Task[Any]:
    call = bare.calls.call(sid, "ann", "ask", data or {}, timeout=timeout)
    return asyncio.create_task(call)


async def _in(call: asyncio.Task[Any], seconds: float = 10) -> Any:
    return await asyncio.wait_for(call, seconds)


async def test_a_session_of_another_replica_answers(a: Bare, b: Bare) -> None:
    ann = Browser(b)
    await ann.connect()
    call = _call(a, ann.sid, {"q": 1, "blob": "é"})
    ack_id, data = await ann.asked()
    assert (data["q"], data["blob"]) == (1, "é")
    await ann.answer(ack_id, {"a": [1, "zwei"]})
    assert await _in(call) == {"a": [1, "zwei"]}
    assert not a.calls._questions
    assert not b.calls._kept


async def test_bytes_travel_both_ways(a: Bare, b: Bare) -> None:
    ann = await b.connect("ann", recovery=False)
    ann.answer = lambda name, data: {"got": data["blob"], "own": b"\x00\x01"}
    answer = await a.calls.call(ann.sid, "ann", "ask", {"blob": b"\xff\x00"}, timeout=10)
    assert answer == {"got": b"\xff\x00", "own": b"\x00\x01"}


async def test_with_nobody_there_a_call_fails_at_once(a: Bare, b: Bare) -> None:
    ann = Browser(b)
    await ann.connect()
    assert await a.calls.reaches(ann.sid, "ann")
    assert not await a.calls.reaches(ann.sid, "eve")
    assert not await a.calls.reaches("none", "ann")
    for sid, user_id in (("none", "ann"), (ann.sid, "eve"), ("x" * 10_000, "ann"), ("", "ann")):
        with pytest.raises(CallFailed) as failed:
            await asyncio.wait_for(a.calls.call(sid, user_id, "ask", {}, timeout=30), 2)
        assert failed.value.code == "session_gone"


async def test_a_call_fails_when_the_session_ends_elsewhere(a: Bare, b: Bare) -> None:
    ann = Browser(b)
    await ann.connect()
    call = _call(a, ann.sid)
    await ann.asked()
    await ann.ws.send("41")
    with pytest.raises(CallFailed) as failed:
        await _in(call, 3)
    assert failed.value.code == "session_gone"


async def test_a_call_to_another_replica_has_a_deadline(a: Bare, b: Bare) -> None:
    ann = Browser(b)
    await ann.connect()
    call = _call(a, ann.sid, timeout=0.5)
    await ann.asked()
    with pytest.raises(CallFailed) as failed:
        await _in(call, 3)
    assert failed.value.code == "call_timeout"
    await until(lambda: not b.calls._kept)


async def test_a_call_nobody_waits_for_is_not_sent_again(a: Bare, b: Bare) -> None:
    ann = Browser(b)
    await ann.connect()
    call = _call(a, ann.sid)
    await ann.asked()
    await ann.cut()
    call.cancel()
    await until(lambda: not b.calls._kept)
    assert await ann.back()
    await ann.asked_nothing_more(b)


async def test_a_browser_that_returns_to_its_replica_is_asked_again_once(a: Bare, b: Bare) -> None:
    ann = Browser(b)
    await ann.connect()
    call = _call(a, ann.sid)
    first = await ann.asked()
    await ann.cut()
    assert await ann.back()
    assert await ann.asked() == first
    await ann.asked_nothing_more(b)
    await ann.answer(first[0], "yes")
    assert await _in(call) == "yes"


@pytest.mark.parametrize("caller_has_it", [True, False])
async def test_a_call_follows_its_session_to_another_replica(
    a: Bare, b: Bare, replica: Run, caller_has_it: bool
) -> None:
    async with replica() as third:
        ann = Browser(a if caller_has_it else b)
        await ann.connect()
        call = _call(a, ann.sid)
        first = await ann.asked()
        await ann.cut()
        ann.go_to(third)
        assert await ann.back()
        assert await asyncio.wait_for(ann.asked(), 3) == first
        await ann.asked_nothing_more(third)
        await ann.cut()
        ann.go_to(a)  # to the caller itself
        assert await ann.back()
        assert await asyncio.wait_for(ann.asked(), 3) == first
        await ann.asked_nothing_more(third)
        await ann.answer(first[0], "yes")
        assert await _in(call) == "yes"


async def test_a_call_follows_its_session_after_a_kill_before_the_lease_ends(
    a: Bare, b: Bare, process: Processes
) -> None:
    async with process(replica_lease_seconds=60) as killed:
        ann = Browser(killed.url)
        await ann.connect()
        call = _call(a, ann.sid)
        first = await ann.asked()
        killed.signal(signal.SIGKILL)
        ann.go_to(b)
        assert await ann.back()
        assert await asyncio.wait_for(ann.asked(), 3) == first
        await ann.asked_nothing_more(b)
        await ann.answer(first[0], "yes")
        assert await _in(call, 3) == "yes"


async def test_a_call_fails_within_the_lease_of_a_dead_replica(a: Bare, process: Processes) -> None:
    async with process(replica_lease_seconds=2) as killed:
        ann = Browser(killed.url)
        await ann.connect()
        call = _call(a, ann.sid)
        await ann.asked()
        killed.signal(signal.SIGKILL)
        with pytest.raises(CallFailed) as failed:
            await _in(call, 6)
        assert failed.value.code == "session_gone"
        # It may still come back: only who waited was told.
        ann.go_to(a)
        assert await ann.back()
        again = _call(a, ann.sid)
        ack_id, _ = await ann.asked()
        await ann.answer(ack_id, "here")
        assert await _in(again) == "here"


async def test_a_call_outlasts_the_freeze_of_its_replica(
    a: Bare, b: Bare, process: Processes
) -> None:
    async with process() as frozen:
        ann = Browser(frozen.url)
        await ann.connect()
        call = _call(a, ann.sid)
        first = await ann.asked()
        frozen.signal(signal.SIGSTOP)
        ann.go_to(b)
        assert await ann.back()
        assert await asyncio.wait_for(ann.asked(), 3) == first
        frozen.signal(signal.SIGCONT)
        await until(lambda: frozen.sids("moved") == [ann.sid])
        await ann.asked_nothing_more(b)
        await ann.answer(first[0], "yes")
        assert await _in(call, 3) == "yes"


async def test_many_calls_at_once_each_get_their_answer(a: Bare, b: Bare) -> None:
    ann = await b.connect("ann", recovery=False)
    ann.answer = lambda name, data: data["n"]
    calls = [_call(bare, ann.sid, {"n": n}) for n in range(100) for bare in (a, b)]
    assert await asyncio.gather(*calls) == [n for n in range(100) for _ in range(2)]
