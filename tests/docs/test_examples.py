"""The programs of docs/examples do what the guide says, against a real server.

One server serves the whole module: the programs start as people of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph.backplane import RedisLock, connect
from heliograph.settings import Settings
from tests.docs.pages import ROOT
from tests.support.bare import until
from tests.support.redis import Standalone
from tests.support.server import Person, RunningServer, serve

EXAMPLES = ROOT / "docs" / "examples"
MODULES = ROOT / "tests" / "clients" / "node_modules"
SECONDS = 60
QUESTION = " ".join(f"word{number}" for number in range(40))

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> AsyncIterator[RunningServer]:
    """A server with the tool of the examples; ``echo`` takes its time."""
    data = tmp_path_factory.mktemp("examples")
    shutil.copy(sqlite_template, data / "heliograph.db")
    settings = Settings.model_validate(
        {
            "port": 0,
            "data_dir": data,
            "auth_attempts_per_minute": 1000,
            "echo_delay_ms": 20,
            "heliograph_tools": "word_count:word_count",
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        async with serve(settings) as running:
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def ann(server: RunningServer) -> Person:
    """Somebody new."""
    return await server.signup(f"ann-{uuid.uuid4().hex[:8]}")


@dataclass(slots=True)
class Ran:
    """What a program wrote, and how it ended."""

    status: int
    out: str
    err: str


class Program:
    """An example in a process of its own; :attr:`out` and :attr:`err` grow as it writes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.out = self.err = ""
        self._reading = [
            asyncio.create_task(self._read("out", process.stdout)),
            asyncio.create_task(self._read("err", process.stderr)),
        ]

    async def _read(self, name: str, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while more := await stream.read(4096):
            setattr(self, name, getattr(self, name) + more.decode())

    async def end(self) -> Ran:
        """Wait for its end.

        :raises AssertionError: it does not come.
        """
        _, unfinished = await asyncio.wait(self._reading, timeout=SECONDS)
        assert not unfinished, f"no end after {SECONDS} s\n{self.out}\n{self.err}"
        return Ran(await self._process.wait(), self.out, self.err)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, folder: Path, person: Person, *command: str) -> AsyncIterator[Program]:
        """Start it; ends it with the block."""
        program = {".mjs": "node", ".py": sys.executable}[Path(command[0]).suffix]
        process = await asyncio.create_subprocess_exec(
            program,
            *command,
            cwd=folder,
            env={
                **os.environ,
                "HELIOGRAPH_URL": person.server.url,
                "HELIOGRAPH_TOKEN": person.token,
                "USER": "tester",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self = cls(process)
        try:
            yield self
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            await asyncio.gather(*self._reading)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the examples beside the JavaScript clients."""
    found = shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=_not_modules)
    shutil.copy(Path(__file__).with_name("provider_check.mjs"), found)
    if MODULES.is_dir():
        (found / "node_modules").symlink_to(MODULES)
    return found


def _not_modules(_: str, names: list[str]) -> set[str]:
    return {"node_modules", "__pycache__"} & set(names)


@pytest.fixture(params=["chat.mjs", "chat.py"])
def chat(request: pytest.FixtureRequest) -> str:
    """The chat program in either language."""
    name: str = request.param
    if name.endswith(".mjs"):
        require_node()
    return name


def require_node() -> None:
    """Skip, with the reason, where JavaScript cannot run."""
    if shutil.which("node") is None:
        pytest.skip("Node is not installed: the JavaScript of the documentation was NOT run")
    if not MODULES.is_dir():
        pytest.skip("run `npm ci` in tests/clients: the JavaScript of the guide was NOT run")


@pytest.fixture
def node() -> None:
    """JavaScript can run."""
    require_node()


async def run(folder: Path, person: Person, *command: str) -> Ran:
    """Run an example to its end."""
    async with Program.running(folder, person, *command) as program:
        return await program.end()


async def session_of(person: Person) -> Any:
    """The person's only session, when it is there."""
    hub = person.server.services.hub
    await until(lambda: any(hub.of_user(person.id)))
    [session] = hub.of_user(person.id)
    return session


async def ask(person: Person, content: str, session_id: str) -> tuple[str, str]:
    """Have a question answered into a new chat; the ids of chat and answer."""
    chat_id = (await person.http.post("/api/v1/chats/new", json={"chat": {}})).json()["id"]
    message_id = str(uuid.uuid4())
    body = {
        "model": "echo",
        "session_id": session_id,
        "chat_id": chat_id,
        "id": message_id,
        "messages": [{"role": "user", "content": content}],
    }
    (await person.http.post("/api/chat/completions", json=body)).raise_for_status()
    return chat_id, message_id


# -- answers ---------------------------------------------------------------------------


@pytest.mark.usefixtures("node")
async def test_the_program_of_the_readme_prints_an_answer(ann: Person, folder: Path) -> None:
    ran = await run(folder, ann, "stream.mjs")
    assert (ran.status, ran.out, ran.err) == (0, "Hello there, how are you?", "")


async def test_chat_answers_what_tools_ask(ann: Person, folder: Path, chat: str) -> None:
    confirmed = await run(folder, ann, chat, '/confirm {"message": "Really?"}')
    assert confirmed.out.startswith("the user confirmed"), confirmed.err
    assert "? Really?" in confirmed.err
    asked = await run(folder, ann, chat, '/ask {"message": "Your name?"}')
    assert asked.out.startswith("the user answered: tester"), asked.err


async def test_chat_goes_on_after_a_broken_connection(ann: Person, folder: Path, chat: str) -> None:
    async with Program.running(folder, ann, chat, QUESTION) as program:
        await until(lambda: "word3 " in program.out, timeout=30)
        (await session_of(ann)).link.end(1012, "restart: for a test")
        ran = await program.end()
    assert ran.out.splitlines()[0] == QUESTION, ran.err


async def test_chat_picks_up_an_answer_in_flight(ann: Person, folder: Path, chat: str) -> None:
    socket = await ann.connect()
    chat_id, _ = await ask(ann, QUESTION, socket.sid)
    ran = await run(folder, ann, chat, "--chat", chat_id)
    assert ran.out.splitlines()[0] == QUESTION, ran.err


async def test_chat_shows_an_answer_that_has_ended(ann: Person, folder: Path, chat: str) -> None:
    socket = await ann.connect()
    chat_id, _ = await ask(ann, QUESTION, socket.sid)
    await socket.expect("events", where=lambda event: event["data"]["type"] == "chat:completion")
    ran = await run(folder, ann, chat, "--chat", chat_id)
    assert ran.out.splitlines()[0] == QUESTION, ran.err
    assert "finished" in ran.out + ran.err


@pytest.mark.usefixtures("node")
async def test_chat_says_why_it_is_refused(ann: Person, folder: Path) -> None:
    ann.token = "no token"
    ran = await run(folder, ann, "chat.mjs", "Hello")
    assert ran.status == 1
    assert "token_invalid" in ran.err


@pytest.mark.usefixtures("node")
async def test_own_model_answers(ann: Person, folder: Path) -> None:
    ran = await run(folder, ann, "own-model.mjs", "one two three")
    assert (ran.status, ran.out) == (0, "three two one"), ran.err


# -- channels, notes -------------------------------------------------------------------


@pytest.mark.usefixtures("node")
async def test_channel_shows_what_was_said(ann: Person, folder: Path) -> None:
    ran = await run(folder, ann, "channel.mjs", f"channel {ann.name}", "Good morning")
    assert ran.out.splitlines() == [f"{ann.name} is typing", f"{ann.name}: Good morning"], ran.err


@pytest.mark.usefixtures("node")
async def test_note_is_written_and_stored(ann: Person, folder: Path) -> None:
    note = await _note(ann)
    ran = await run(folder, ann, "note.mjs", note, "Written from Node")
    assert "<paragraph>Written from Node</paragraph>" in ran.out, ran.err
    stored = (await ann.http.get(f"/api/v1/notes/{note}")).json()
    assert stored["data"]["content"]["md"].strip() == "# Plan\n\nWritten from Node"


@pytest.mark.usefixtures("node")
async def test_provider_outlives_broken_connections(ann: Person, folder: Path) -> None:
    ran = await run(folder, ann, "provider_check.mjs", await _note(ann))
    assert ran.status == 0, ran.err
    seen = json.loads(ran.out)
    assert seen["text"].count("<paragraph>typed") == 2
    assert seen["user"] == ann.name


async def _note(person: Person) -> str:
    body = {"title": "Plan", "data": {"content": {"md": "# Plan"}}}
    note: str = (await person.http.post("/api/v1/notes/create", json=body)).json()["id"]
    return note


# -- tools -----------------------------------------------------------------------------


async def test_tool_counts_and_asks(ann: Person, folder: Path) -> None:
    question = '/word_count {"text": "one two three", "longest": true}'
    ran = await run(folder, ann, "chat.py", question)
    assert json.loads(ran.out.splitlines()[0]) == {"words": 3, "longest": "three"}, ran.err
    assert "[Counting]" in ran.err
    assert "? Look through 3 words?" in ran.err


async def test_tool_outside_the_server_reports_and_asks(ann: Person, folder: Path) -> None:
    socket = await ann.connect()
    socket.answer = lambda _, event: event["data"]["type"] == "confirmation"
    chat_id, message_id = await ask(ann, "Hello", socket.sid)
    await socket.expect("events", where=lambda event: event["data"]["type"] == "chat:completion")
    ann.token = (await ann.http.post("/api/v1/auths/api_key")).json()["api_key"]
    ran = await run(folder, ann, "outside.py", chat_id, message_id, socket.sid)
    assert ran.out == "written\n", ran.err
    found = (await ann.http.get(f"/api/v1/chats/{chat_id}")).json()
    message = found["chat"]["history"]["messages"][message_id]
    assert message["content"] == "Hello\n\nIt is 21 degrees outside."
    assert [status["description"] for status in message["statusHistory"]] == [
        "Measuring",
        "Measured",
    ]
    assert message["sources"][0]["source"] == {"name": "Thermometer"}


# -- beside the server -------------------------------------------------------------------


async def test_a_program_beside_the_server_shares_flags_and_a_lock(
    ann: Person, folder: Path, redis: Standalone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in redis.environment().items():
        monkeypatch.setenv(name, value)
    ran = await run(folder, ann, "beside.py")
    assert ran.out == "done\n[('one', {'tidy': True}), ('two', {'tidy': True})]\n", ran.err
    lock = RedisLock(
        None, "myapp:nightly", timeout_secs=30, client=await asyncio.to_thread(connect)
    )
    assert await asyncio.to_thread(lock.acquire_lock)
    ran = await run(folder, ann, "beside.py")
    assert ran.out.startswith("another program is at it"), ran.err
    lock.redis.close()
