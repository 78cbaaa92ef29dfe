"""The program: reads the scene and orders, runs the clients."""

from __future__ import annotations

import asyncio
import json
import sys

from tests.clients.visitors.report import Report, now, say
from tests.clients.visitors.visitor import Visitor


def _status(report: Report, visitors: list[Visitor]) -> None:
    away = [visitor.lost_at for visitor in visitors if not visitor.connected]
    silent = [visitor.last_event_at for visitor in visitors if visitor.last_event_at]
    say(
        {
            "status": {
                "at": now(),
                "people": len(visitors),
                "connected": len(visitors) - len(away),
                "opened": sum(visitor.settled for visitor in visitors),
                "since": min(away, default=None),
                "silentSince": min(silent, default=None),
                "events": report.counts["events"],
                "answers": report.counts["answers"],
                "disconnects": report.counts["disconnects"],
                "wrong": sum(len(each) for each in report.failings.values()),
            }
        }
    )


async def _run() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    scene = json.loads(await lines.readline())
    report = Report()
    visitors: list[Visitor] = []
    lives = []

    async def tell() -> None:
        while True:
            _status(report, visitors)
            await asyncio.sleep(0.5)

    telling = asyncio.create_task(tell())
    for number, account in enumerate(scene["people"]):
        visitor = Visitor(account, number, scene, report)
        visitors.append(visitor)
        lives.append(asyncio.create_task(visitor.live()))
        await asyncio.sleep(scene.get("pauseMs", 0) / 1000)

    async def said(word: str) -> None:
        while line := await lines.readline():
            if line.strip().decode() == word:
                return
        raise SystemExit("whoever started us is gone")

    await said("stop")
    for visitor in visitors:
        visitor.stopping = True
    seconds = (now() - report.began) / 1000
    await asyncio.gather(*lives)
    while not all(visitor.settled for visitor in visitors):
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    telling.cancel()
    say({"stopped": True})
    await said("compare")
    for visitor in visitors:
        await visitor.compare()
    report.end(seconds)
    for visitor in visitors:
        await visitor.close()


if __name__ == "__main__":
    asyncio.run(_run())
