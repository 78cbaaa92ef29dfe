"""How smoothly a long answer is shown: frames, the work of the page, memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from playwright.async_api import CDPSession

from tests.browser.window import Window
from tests.support.upstream import Reply

# Counts frames by the second, and keeps the longest gap between two.
_WATCH = """() => {
  const watch = (window.watch = { seconds: [], longest: 0, stop: false });
  let begin = performance.now(), last = begin, frames = 0;
  const frame = (now) => {
    watch.longest = Math.max(watch.longest, now - last);
    last = now;
    frames += 1;
    if (now - begin >= 1000) {
      watch.seconds.push((frames * 1000) / (now - begin));
      begin = now;
      frames = 0;
    }
    if (!watch.stop) requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was seen: frames a second (each second's), the longest frame in ms, the part of the
    time in which the page's thread was busy, and memory in use in MB (after each quarter)."""

    frames: list[float]
    longest: float
    busy: float
    memory: list[float]

    def __str__(self) -> str:
        ordered = sorted(self.frames)
        median, least = ordered[len(ordered) // 2], ordered[0]
        memory = ", ".join(f"{each:.1f}" for each in self.memory)
        return (
            f"frames a second: median {median:.0f}, least {least:.0f}; "
            f"longest frame {self.longest:.0f} ms; page busy {self.busy:.0%}; memory {memory} MB"
        )


def steady(words: Callable[[int], str], number: int, per_second: float) -> Callable[[Reply], Any]:
    """A script of the upstream: so many tokens, as many a second."""

    async def script(reply: Reply) -> None:
        await reply.begin()
        begin = time.monotonic()
        for index in range(number):
            await reply.delta(words(index))
            ahead = begin + (index + 1) / per_second - time.monotonic()
            if ahead > 0.01:
                await asyncio.sleep(ahead)
        await reply.finish()

    return script


async def watch(window: Window, progress: list[Callable[[], Awaitable[Any]]]) -> Figures:
    """Measure while each of ``progress`` is awaited; memory is read after each."""
    session = await window.context.new_cdp_session(window.page)
    await session.send("Performance.enable")
    await window.page.evaluate(_WATCH)
    begin, before = time.monotonic(), await _metric(session, "TaskDuration")
    memory = []
    for part in progress:
        await part()
        memory.append(await _memory(session))
    busy = (await _metric(session, "TaskDuration") - before) / (time.monotonic() - begin)
    seen = await window.page.evaluate("() => { window.watch.stop = true; return window.watch; }")
    return Figures(seen["seconds"], seen["longest"], busy, memory)


async def _memory(session: CDPSession) -> float:
    await session.send("HeapProfiler.collectGarbage")
    return await _metric(session, "JSHeapUsedSize") / 1024 / 1024


async def _metric(session: CDPSession, name: str) -> float:
    metrics = (await session.send("Performance.getMetrics"))["metrics"]
    return float(next(each["value"] for each in metrics if each["name"] == name))
