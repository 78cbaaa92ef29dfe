"""Tools in an answer: several at once, their faults, the examples that ship."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from heliograph.chat.api import Emit
from heliograph.chat.tools import make_tool
from tests.integration.chat.support import Talk
from tests.support.upstream import Upstream, calls, tokens


def add(talk: Talk, function: Any) -> None:
    tool = make_tool(function)
    talk.server.services.chat.tools.tools[tool.name] = tool


def results(upstream: Upstream) -> list[Any]:
    """What the tools gave back in the last request."""
    return [m["content"] for m in upstream.requests[-1].body["messages"] if m["role"] == "tool"]


async def test_tools_of_one_turn_run_at_once_and_lose_nothing(
    talk: Talk, upstream: Upstream
) -> None:
    meeting = asyncio.Barrier(2)

    async def meet(name: str, emit: Emit) -> str:
        """Meet.

        :param name: who comes.
        """
        async with asyncio.timeout(10):
            await meeting.wait()  # passes only when both run at the same time
        for number in range(5):
            await emit({"type": "message", "data": {"content": f"[{name}{number}]"}})
            await emit({"type": "files", "data": {"files": [f"{name}{number}"]}})
        return f"{name} was here"

    add(talk, meet)
    upstream.script(
        calls(("meet", '{"name": "ann"}'), ("meet", '{"name": "bob"}'), text="Wait. "),
        tokens("Done."),
    )
    begun = await talk.begin()
    assert (await begun.end(timeout=30))[0] == "chat:completion"
    assert results(upstream) == ["ann was here", "bob was here"]
    stored = await begun.stored()
    pieces = {f"{name}{number}" for name in ("ann", "bob") for number in range(5)}
    assert set(stored["files"]) == pieces
    content = stored["content"].removeprefix("Wait. ").removesuffix("\n\nDone.")
    assert set(content[1:-1].split("][")) == pieces
    assert len(content) == sum(len(piece) + 2 for piece in pieces)
    descriptions = [status["description"] for status in stored["statusHistory"]]
    assert sorted(descriptions) == ["Running meet"] * 2 + ["meet done"] * 2
    offered = {tool["function"]["name"]: tool for tool in upstream.requests[0].body["tools"]}
    assert set(offered) == {"status", "confirm", "ask", "python", "meet"}
    assert offered["meet"]["function"]["parameters"]["required"] == ["name"]
    assistant = upstream.requests[-1].body["messages"][-3]
    assert [call["id"] for call in assistant["tool_calls"]] == ["call_0", "call_1"]


async def test_faults_of_tools_go_to_the_model_and_the_user(talk: Talk, upstream: Upstream) -> None:
    async def broken(number: int) -> str:
        """Break."""
        raise RuntimeError("it broke")

    async def gives_up() -> None:
        """Cancel itself."""
        raise asyncio.CancelledError

    add(talk, broken)
    add(talk, gives_up)
    upstream.script(
        calls(
            ("broken", '{"number": 1}'),
            ("broken", '{"number": "one"}'),
            ("broken", "{nonsense"),
            ("unknown", "{}"),
            ("gives_up", "{}"),
        ),
        tokens("Sorry."),
    )
    begun = await talk.begin()
    ending = await begun.end()
    assert ending[1].get("content") == "Sorry.", ending
    told = results(upstream)
    assert told[0] == "error: RuntimeError: it broke"
    assert told[1].startswith("error: bad arguments: number:")
    assert told[2].startswith("error: bad arguments: ")
    assert told[3] == "error: there is no tool 'unknown'"
    assert told[4] == "error: it was cancelled"
    statuses = (await begun.stored())["statusHistory"]
    assert sum(1 for status in statuses if status.get("error")) == 5


async def test_a_model_that_never_stops_calling_is_stopped(talk: Talk, upstream: Upstream) -> None:
    upstream.script(calls(("status", "{}")))
    begun = await talk.begin()
    kind, said = await begun.end(timeout=30)
    assert (kind, said["error"]["code"]) == ("chat:message:error", "too_many_tool_rounds")
    assert len(upstream.requests) == 10


async def test_a_stop_ends_the_tools_too(talk: Talk, upstream: Upstream) -> None:
    begun_work, ended_work = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        """Go on and on."""
        begun_work.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended_work.set()

    add(talk, endless)
    upstream.script(calls(("endless", "{}")))
    begun = await talk.begin()
    await begun_work.wait()
    assert (await begun.stop()).json()["status"] == "stopped"
    assert ended_work.is_set()
    assert (await begun.stored())["state"] == "stopped"


async def test_only_wanted_tools_are_offered(talk: Talk, upstream: Upstream) -> None:
    await (await talk.begin(tool_ids=["ask", "none"])).end()
    offered = upstream.requests[-1].body["tools"]
    assert [tool["function"]["name"] for tool in offered] == ["ask"]


@pytest.mark.settings(OPENAI_API_BASE_URL="", ECHO_DELAY_MS="0")
@pytest.mark.parametrize(
    ("command", "answer", "said"),
    [
        ('/status {"description": "Looking"}', None, "status shown: Looking"),
        ("/confirm {}", True, "the user confirmed"),
        ("/confirm", False, "the user declined"),
        ('/ask {"message": "Name?"}', "Ann", "the user answered: Ann"),
        ("/ask {}", False, "the user cancelled"),
        ('/python {"code": "1"}', {"stdout": "", "result": 1}, '{"stdout": "", "result": 1}'),
        ("/python {}", None, "error: bad arguments: code: Field required"),
        ("/unknown {}", None, "/unknown {}"),
    ],
)
async def test_the_echo_model_runs_tools(talk: Talk, command: str, answer: Any, said: str) -> None:
    def reply(name: str, data: Any) -> Any:
        return answer if "call_id" in data else None

    talk.socket.answer = reply
    begun = await talk.begin(command, model="echo")
    assert (await begun.end())[1]["content"] == said


@pytest.mark.settings(
    OPENAI_API_BASE_URL="", ECHO_DELAY_MS="0", WEBSOCKET_EVENT_CALLER_TIMEOUT="0.2"
)
async def test_a_dialog_nobody_answers_is_an_error_of_its_tool(talk: Talk) -> None:
    async def never(name: str, data: Any) -> None:
        await asyncio.Event().wait()

    talk.socket.answer = never
    begun = await talk.begin("/confirm {}", model="echo")
    content = (await begun.end())[1]["content"]
    assert content.startswith("error: no answer from session")
    assert content.endswith("(call_timeout)")


@pytest.mark.settings(CHAT_DELTA_INTERVAL_MS="1000")
async def test_statuses_arrive_before_what_follows(talk: Talk, upstream: Upstream) -> None:
    async def talker(emit: Emit) -> None:
        """Talk."""
        for word in ("zero", "first"):  # the second waits for more to come
            await emit({"type": "message", "data": {"content": word}})
        await emit({"type": "status", "data": {"description": "second"}})

    add(talk, talker)
    upstream.script(calls(("talker", "{}")), tokens("third"))
    begun = await talk.begin()
    await begun.end()
    told = json.dumps([event["data"] for event in talk.socket.events("events")])
    assert told.index("first") < told.index("second") < told.index("third")
