"""How much does streaming cost? N tokens to M users at once, through the whole server.

    python -m tests.bench.stream_fanout --users 50 --tokens 2000

The upstream runs in a process of its own, and so do the clients. Checked: every user gets
every token, in order, and the database holds the same text. Printed: the time, deltas and
writes per message, and the server's CPU time per delta and per token.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import socketio

from heliograph.chat.outlet import Outlet
from heliograph.chat.stream import Stream
from heliograph.settings import Settings
from heliograph.store import Database, migrate
from tests.support.server import serve
from tests.support.upstream import many_tokens, running_upstream


def upstream_process(tokens: int, rate: float, pipe: multiprocessing.connection.Connection) -> None:
    """Serve the upstream until the pipe says enough."""

    async def main() -> None:
        async with running_upstream() as upstream:
            burst = max(1, round(rate / 200))
            upstream.script(many_tokens(tokens, pause_every=burst, pause=burst / rate))
            pipe.send(upstream.url)
            await asyncio.to_thread(pipe.recv)

    asyncio.run(main())


async def one_user(url: str, token: str, tokens: int, start: asyncio.Event) -> dict[str, Any]:
    """Ask for an answer and check it as it comes."""
    expected = "".join(f"{number} " for number in range(tokens))
    client = socketio.AsyncClient(reconnection=False)
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    text: list[str] = []
    seqs: list[int] = []
    message_id = f"a-{uuid.uuid4().hex}"

    def received(event: dict[str, Any], *_offset: str) -> None:
        if event["message_id"] != message_id:
            return
        data = event["data"]
        if data["type"] == "message":
            seqs.append(event["seq"])
            text.append(data["data"]["content"])
        elif data["type"] in ("chat:completion", "chat:message:error", "chat:tasks:cancel"):
            done.set_result(str(data["data"].get("state", data)))

    client.on("events", received)
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120
    ) as http:
        chat_id = (await http.post("/api/v1/chats/new", json={})).json()["id"]
        await client.connect(
            url, auth={"token": token}, transports=["websocket"], socketio_path="/ws/socket.io"
        )
        await start.wait()
        began = time.perf_counter()
        body = {
            "model": "m1",
            "messages": [{"role": "user", "content": "Count"}],
            "session_id": client.get_sid(),
            "chat_id": chat_id,
            "id": message_id,
        }
        (await http.post("/api/chat/completions", json=body)).raise_for_status()
        state = await asyncio.wait_for(done, 600)
        seconds = time.perf_counter() - began
        chat = (await http.get(f"/api/v1/chats/{chat_id}")).json()
    await client.disconnect()
    stored = chat["chat"]["history"]["messages"][message_id]["content"]
    return {
        "state": state,
        "deltas": len(seqs),
        "ordered": seqs == list(range(1, len(seqs) + 1)) and "".join(text) == expected,
        "stored": stored == expected,
        "seconds": seconds,
    }


def clients_process(
    url: str, bearers: list[str], tokens: int, pipe: multiprocessing.connection.Connection
) -> None:
    """Run all users and send back what each of them saw."""

    async def main() -> None:
        start = asyncio.Event()
        users = [asyncio.create_task(one_user(url, bearer, tokens, start)) for bearer in bearers]
        await asyncio.sleep(2)  # all are connected
        start.set()
        pipe.send(await asyncio.gather(*users))

    asyncio.run(main())


@contextlib.contextmanager
def process(target: Any, *args: Any) -> Iterator[multiprocessing.connection.Connection]:
    """Run ``target(*args, pipe)`` in a process; yields our end of the pipe."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = context.Process(target=target, args=(*args, theirs), daemon=True)
    worker.start()
    try:
        yield ours
    finally:
        with contextlib.suppress(BrokenPipeError):
            ours.send("enough")
        worker.join(10)
        worker.terminate()


async def run(users: int, tokens: int, rate: float, database: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, process(upstream_process, tokens, rate) as up:
        url = await asyncio.to_thread(up.recv)
        settings = Settings.model_validate(
            {
                "port": 0,
                "data_dir": Path(folder),
                "database_url": database,
                "openai_api_base_url": url,
                "auth_attempts_per_minute": 100_000,
            }
        )
        async with Database(settings.sqlalchemy_url) as opened:
            await migrate(opened)
        async with serve(settings) as server:
            bearers = [(await server.signup(uuid.uuid4().hex)).token for _ in range(users)]
            streams: list[Stream] = []
            opened_by = server.services.chat.streams.open

            async def recorded(outlet: Outlet, message_id: str) -> Stream:
                streams.append(await opened_by(outlet, message_id))
                return streams[-1]

            server.services.chat.streams.open = recorded  # type: ignore[method-assign]
            cpu = time.process_time()
            with process(clients_process, server.url, bearers, tokens) as clients:
                results = await asyncio.to_thread(clients.recv)
            cpu = time.process_time() - cpu
    deltas = sum(result["deltas"] for result in results)
    writes = [stream.writes for stream in streams]
    print(f"users {users}, tokens each {tokens}, upstream {rate:g} tokens/s each")
    print(f"states: {sorted({result['state'] for result in results})}")
    print(f"all in order and complete: {all(result['ordered'] for result in results)}")
    print(f"the same in the database: {all(result['stored'] for result in results)}")
    print(f"slowest answer: {max(result['seconds'] for result in results):.1f} s")
    print(f"deltas per message: {deltas / users:.0f} ({users * tokens / deltas:.1f} tokens each)")
    print(f"writes per message: {sum(writes) / users:.1f} (most {max(writes)})")
    print(f"server CPU: {cpu:.1f} s, {cpu / deltas * 1e6:.0f} µs per delta, ", end="")
    print(f"{cpu / users / tokens * 1e6:.0f} µs per token (with connecting)")


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=2_000)
    parser.add_argument("--rate", type=float, default=100.0, help="tokens a second, per user")
    parser.add_argument("--database-url", default="")
    chosen = parser.parse_args()
    asyncio.run(run(chosen.users, chosen.tokens, chosen.rate, chosen.database_url))


if __name__ == "__main__":
    main()
