"""The drain by itself: its pace, its order, its end, and taking it back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import heliograph.delivery.drain as drain_module
from heliograph.delivery import Drain, Hub, MemoryBroker, Session, expiry_of
from heliograph.delivery.drain import Pace
from heliograph.delivery.refusal import Refusal
from tests.support.bare import until


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def seconds_for(clients: int, *, seconds: float = 20, per_second: float = 200) -> float:
    """How long it takes to close so many, looking every 50 ms; nothing is done in a burst."""
    clock = Clock()
    pace = Pace(seconds, per_second, clock)
    still_open, at_once = clients, 0
    while still_open:
        due = pace.due(still_open)
        at_once = max(at_once, due)
        still_open -= due
        clock.now += 0.05
    assert at_once <= max(per_second, clients / seconds) * 0.05 * 1.1 + 2
    return clock.now - 1000


@pytest.mark.parametrize(("clients", "expected"), [(1, 0.1), (20, 0.15), (200, 1), (2_000, 10)])
def test_few_clients_are_closed_at_the_least_rate(clients: int, expected: float) -> None:
    assert seconds_for(clients) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("clients", [10_000, 100_000])
def test_many_clients_are_spread_over_the_time(clients: int) -> None:
    assert seconds_for(clients) == pytest.approx(20, abs=0.2)


def test_no_time_closes_all_at_once() -> None:
    assert Pace(0, 200, Clock()).due(5_000) == 5_000


def test_a_pace_that_was_kept_from_looking_catches_up() -> None:
    clock = Clock()
    pace = Pace(20, 10, clock)
    clock.now += 5
    assert pace.due(100) == 50
    clock.now += 30
    assert pace.due(50) == 50


def test_who_comes_late_is_closed_within_the_time() -> None:
    clock = Clock()
    pace = Pace(20, 1, clock)
    clock.now += 19
    pace.due(1)
    clock.now += 1
    assert pace.due(1_000) == 1_000


class Wire:
    """A transport that closes when it is told to, or not at all."""

    def __init__(self, log: list[str], *, closes: bool = True) -> None:
        self.log = log
        self.closes = closes
        self.ended: tuple[int, str] | None = None

    def end(self, code: int, reason: str, *, flush: bool = False) -> None:
        assert flush
        assert self.ended is None, "told twice"
        self.ended = (code, reason)
        self.log.append("closed")


class Wires:
    """Transports and tasks of a replica, and what was done with them, in order."""

    def __init__(self, count: int = 0) -> None:
        self.log: list[str] = []
        self.refusal: Refusal | None = None
        self.wires = [Wire(self.log) for _ in range(count)]
        self.stop: Callable[[], Any] | None = None

    def refuse_handshakes(self, refusal: Refusal) -> None:
        self.refusal = refusal

    def admit_handshakes(self) -> None:
        self.refusal = None

    def open_transports(self) -> list[Wire]:
        return [wire for wire in self.wires if wire.ended is None]

    async def transports_gone(self, timeout: float) -> None:
        self.log.append("gone")

    async def shutdown(self, *, timeout: float, per_second: float) -> int:
        self.log.append("tasks")
        if self.stop is not None:
            await self.stop()
        return 0

    def reopen(self) -> None:
        self.log.append("reopened")


class Told:
    """A session's link that notes what the session is told."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.frames: list[str] = []

    def push(self, packets: Any) -> None: ...

    def deliver(self, frame: Any, *, offset: str | None = None, ack_id: int | None = None) -> None:
        self.log.append("told")
        self.frames.append(frame.body + "]")

    def end(self, code: int, reason: str) -> None: ...

    async def drained(self) -> None: ...


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Most of these are about what comes before."""
    monkeypatch.setattr(drain_module, "LINGER_SECONDS", 0)


def drain_of(
    wires: Wires,
    hub: Hub | None = None,
    *,
    seconds: float = 20,
    rate: float = 1e6,
    cookie: str = "SERVERID",
) -> Drain:
    hub = hub or Hub(MemoryBroker(0))
    expiry = expiry_of(cookie, "Path=/; Secure")
    return Drain(hub, wires, wires, seconds=seconds, per_second=rate, expiry=expiry)


def listeners(hub: Hub, wires: Wires, count: int) -> list[Told]:
    """Sessions here that note in the log of ``wires`` what they are told."""
    links = [Told(wires.log) for _ in range(count)]
    for link in links:
        session = Session(None, link)
        hub.sessions[session.sid] = session
    return links


async def test_the_order_is_refuse_stop_tell_close() -> None:
    hub, wires = Hub(MemoryBroker(0)), Wires(3)
    listeners(hub, wires, 2)
    drain = drain_of(wires, hub)
    drain.begin("a test")
    assert wires.refusal is not None, "at once"
    assert wires.log == []
    assert not drain.running
    await drain.finish()
    assert drain.state == "drained"
    assert wires.log == ["tasks", "told", "told", "closed", "closed", "closed", "gone"]
    assert {wire.ended for wire in wires.wires} == {(1012, "restart: the server is stopping")}


async def test_the_pause_that_clients_are_told_differs() -> None:
    hub, wires = Hub(MemoryBroker(0)), Wires()
    links = listeners(hub, wires, 50)
    drain = drain_of(wires, hub)
    drain.begin("a test")
    await drain.finish()
    told = {link.frames[0] for link in links}
    assert len(told) > 10
    for frame in told:
        pause = int(frame.removeprefix('["server:draining",{"reconnect_in_ms":').removesuffix("}]"))
        assert 200 <= pause <= 1000


async def test_a_refused_handshake_says_why_and_expires_the_cookie() -> None:
    wires = Wires()
    drain_of(wires).begin("a test")
    assert wires.refusal is not None
    assert wires.refusal.status.startswith("503 ")
    assert dict(wires.refusal.headers)["Retry-After"] == "1"
    assert dict(wires.refusal.headers)["Set-Cookie"] == "SERVERID=; Max-Age=0; Path=/; Secure"
    assert b'"code":"draining"' in wires.refusal.body


def test_without_a_cookie_there_is_none_to_expire() -> None:
    assert expiry_of("", "Path=/") == []
    assert expiry_of("c", "") == [("Set-Cookie", "c=; Max-Age=0")]


async def test_it_begins_once() -> None:
    wires = Wires(1)
    drain = drain_of(wires)
    for _ in range(3):
        drain.begin("a test")
    await drain.finish()
    drain.begin("a test")
    await drain.finish()
    assert wires.log == ["tasks", "closed", "gone"]


async def test_finishing_what_never_began_returns() -> None:
    drain = drain_of(Wires())
    await drain.finish()
    assert drain.running


async def test_tasks_that_cannot_be_stopped_keep_no_client() -> None:
    wires = Wires(2)

    def fail() -> Any:
        raise RuntimeError("the registry is broken")

    wires.stop = fail
    drain = drain_of(wires)
    drain.begin("a test")
    await drain.finish()
    assert wires.log == ["tasks", "closed", "closed", "gone"]


async def test_who_appears_while_it_closes_is_closed_too() -> None:
    wires = Wires(1)
    drain = drain_of(wires, rate=20, seconds=20)

    async def arrive() -> None:
        wires.wires += [Wire(wires.log) for _ in range(2)]

    wires.stop = arrive
    drain.begin("a test")
    while not any(wire.ended for wire in wires.wires):
        await asyncio.sleep(0)
    wires.wires.append(Wire(wires.log))
    await drain.finish()
    assert wires.log.count("closed") == 4
    assert wires.log[-1] == "gone"


async def test_hastened_it_closes_all_at_once() -> None:
    wires = Wires(500)
    drain = drain_of(wires, rate=1, seconds=600)
    drain.begin("a test")
    while "closed" not in wires.log:
        await asyncio.sleep(0)
    assert wires.log.count("closed") == 1
    drain.hasten()
    async with asyncio.timeout(5):
        await drain.finish()
    assert wires.log.count("closed") == 500


async def test_when_all_are_gone_it_refuses_for_a_moment_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drain_module, "LINGER_SECONDS", 3600)
    wires = Wires(3)
    drain = drain_of(wires, seconds=7200)
    drain.begin("a test")
    await until(lambda: drain.state == "drained")
    finished = asyncio.create_task(drain.finish())
    await asyncio.sleep(0.2)
    assert not finished.done()
    assert wires.refusal is not None
    drain.hasten()
    await finished


async def test_it_does_not_linger_beyond_its_time_nor_without_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drain_module, "LINGER_SECONDS", 3600)
    monkeypatch.setattr(drain_module, "TASK_SECONDS", 0.1)
    monkeypatch.setattr(drain_module, "LAST_SECONDS", 0.1)
    for drain in (
        drain_of(Wires(3), seconds=0),  # its time is over
        drain_of(Wires(0), seconds=7200),  # nobody was here
        drain_of(Wires(3), seconds=7200, cookie=""),  # no cookie brings anybody back
    ):
        drain.begin("a test")
        async with asyncio.timeout(10):
            await drain.finish()


async def test_taken_back_it_lets_everybody_in_again() -> None:
    wires = Wires(100)
    drain = drain_of(wires, rate=1, seconds=600)
    drain.begin("a test")
    while "closed" not in wires.log:
        await asyncio.sleep(0)
    await drain.cancel()
    assert drain.running
    assert wires.refusal is None
    assert len(wires.open_transports()) == 99, "who is still here stays"
    assert wires.log[-1] == "reopened"
    await drain.cancel()
    assert wires.log.count("reopened") == 1


async def test_it_can_begin_again_after_it_was_taken_back() -> None:
    wires = Wires(3)
    drain = drain_of(wires)
    drain.begin("a test")
    drain.hasten()
    await drain.finish()
    await drain.cancel()
    wires.wires.append(Wire(wires.log))
    drain.begin("a test")
    await drain.finish()
    assert drain.state == "drained"
    assert wires.open_transports() == []
