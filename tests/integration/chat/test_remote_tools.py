"""Tools on servers that the user configured: offered to the model, run by the asking page."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.integration.chat.support import Talk
from tests.support.upstream import Upstream, calls, tokens

URL = "https://tools.example/v1"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FORECAST = {"name": "forecast", "description": "Tomorrow's weather.", "parameters": SCHEMA}


def server(*specs: dict[str, Any], url: str = URL, **more: Any) -> dict[str, Any]:
    return {"url": url, "specs": list(specs or [FORECAST]), **more}


def answering(talk: Talk, answer: Any) -> list[dict[str, Any]]:
    """Let the page acknowledge calls with ``answer``; the data of the calls."""
    asked: list[dict[str, Any]] = []

    async def reply(name: str, event: Any) -> Any:
        if "call_id" not in event:
            return None
        asked.append(event["data"])
        return await answer(event) if callable(answer) else answer

    talk.socket.answer = reply
    return asked


def offered(upstream: Upstream) -> dict[str, Any]:
    """The tools of the last request, by name."""
    tools = upstream.requests[-1].body["tools"]
    return {tool["function"]["name"]: tool["function"] for tool in tools}


def results(upstream: Upstream) -> list[Any]:
    """What the tools gave back in the last request."""
    return [m["content"] for m in upstream.requests[-1].body["messages"] if m["role"] == "tool"]


async def test_the_model_is_offered_them_and_the_page_runs_them(
    talk: Talk, upstream: Upstream
) -> None:
    asked = answering(talk, {"sky": "grey", "degrees": 7})
    upstream.script(calls(("forecast", '{"city": "Bern"}')), tokens("Take a coat."))
    begun = await talk.begin(tool_servers=[server(name="Weather", key="sk-secret")])
    assert (await begun.end())[1]["content"] == "Take a coat."
    first = upstream.requests[0].body
    described = [tool for tool in first["tools"] if tool["function"]["name"] == "forecast"]
    assert described == [{"type": "function", "function": FORECAST}]
    assert "tool_servers" not in first
    assert asked == [
        {
            "type": "execute:tool",
            "data": {
                "name": "forecast",
                "params": {"city": "Bern"},
                "server": {"url": URL},
                "session_id": talk.socket.sid,
            },
        }
    ]
    assert results(upstream) == ['{"sky": "grey", "degrees": 7}']
    told = [status["description"] for status in (await begun.stored())["statusHistory"]]
    assert told == ["Running forecast", "forecast done"]


async def test_only_the_asking_session_is_asked(talk: Talk, upstream: Upstream) -> None:
    other = await talk.person.connect()
    answering(talk, "sunny")
    upstream.script(calls(("forecast", "{}")), tokens("Good."))
    await (await talk.begin(tool_servers=[server()])).end()
    assert results(upstream) == ["sunny"]
    assert not [event for event in other.events("events") if "call_id" in event]


async def test_each_tool_goes_to_its_own_server(talk: Talk, upstream: Upstream) -> None:
    asked = answering(talk, "ok")
    servers = [server(), server({"name": "translate"}, {"name": "forecast"}, url="http://other")]
    upstream.script(calls(("translate", ""), ("forecast", "{}")), tokens("Done."))
    await (await talk.begin(tool_servers=servers)).end()
    went = {call["data"]["name"]: call["data"]["server"]["url"] for call in asked}
    assert went == {"translate": "http://other", "forecast": URL}  # the first of the name
    bare = offered(upstream)["translate"]
    assert bare["parameters"] == {"type": "object", "properties": {}}
    assert bare["description"] == ""


async def test_a_tool_of_this_server_goes_before_one_of_its_name(
    talk: Talk, upstream: Upstream
) -> None:
    mine = server({"name": "confirm", "description": "mine"})
    await (await talk.begin(tool_servers=[mine])).end()
    assert offered(upstream)["confirm"]["description"] != "mine"
    await (await talk.begin(tool_servers=[mine], tool_ids=["ask"])).end()
    assert set(offered(upstream)) == {"ask", "confirm"}
    assert offered(upstream)["confirm"]["description"] == "mine"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("text as it is", "text as it is"),
        ([1, {"two": None}], '[1, {"two": null}]'),
        (None, "done"),
        ({"error": None, "data": 1}, '{"error": null, "data": 1}'),
        ({"error": "the server is down"}, "error: the server is down"),
        ({"error": {"message": "no such city"}}, "error: no such city"),
    ],
)
async def test_what_the_page_says_is_the_result(
    talk: Talk, upstream: Upstream, answer: Any, said: str
) -> None:
    answering(talk, answer)
    upstream.script(calls(("forecast", '{"city": "Bern"}')), tokens("Done."))
    begun = await talk.begin(tool_servers=[server()])
    assert (await begun.end())[1]["content"] == "Done."
    assert results(upstream) == [said]
    status = (await begun.stored())["statusHistory"][-1]
    assert status.get("error", False) == said.startswith("error:")


@pytest.mark.settings(WEBSOCKET_EVENT_CALLER_TIMEOUT="0.2")
async def test_a_page_that_does_not_answer_is_an_error_of_the_tool(
    talk: Talk, upstream: Upstream
) -> None:
    async def never(_: Any) -> None:
        await asyncio.Event().wait()

    answering(talk, never)
    upstream.script(calls(("forecast", "{}")), tokens("Sorry."))
    begun = await talk.begin(tool_servers=[server()])
    assert (await begun.end())[1]["content"] == "Sorry."
    assert results(upstream)[0].endswith("(call_timeout)")


@pytest.mark.settings(CONNECTION_RECOVERY_SECONDS="0")
async def test_a_page_that_leaves_is_an_error_of_the_tool(talk: Talk, upstream: Upstream) -> None:
    async def leave(_: Any) -> None:
        asyncio.get_running_loop().create_task(talk.socket.disconnect())
        await asyncio.Event().wait()

    watching = await talk.person.connect()
    answering(talk, leave)
    upstream.script(calls(("forecast", "{}")), tokens("Sorry."))
    begun = await talk.begin(tool_servers=[server()])
    await watching.expect("events", where=lambda event: event["data"]["type"] == "chat:completion")
    assert results(upstream)[0].endswith("(session_gone)")
    assert (await begun.stored())["content"] == "Sorry."


@pytest.mark.parametrize("arguments", ["[1]", "{nonsense", '"text"', "[" * 100_000])
async def test_arguments_that_are_no_object_do_not_reach_the_page(
    talk: Talk, upstream: Upstream, arguments: str
) -> None:
    asked = answering(talk, "ok")
    upstream.script(calls(("forecast", arguments)), tokens("Sorry."))
    await (await talk.begin(tool_servers=[server()])).end()
    assert results(upstream)[0].startswith("error: bad arguments: ")
    assert asked == []


@pytest.mark.parametrize(
    ("servers", "path"),
    [
        ("none", "tool_servers"),
        ([{"specs": []}], "tool_servers.0.url"),
        ([{"url": "", "specs": []}], "tool_servers.0.url"),
        ([{"url": URL}], "tool_servers.0.specs"),
        ([server(), server({"name": "no spaces"})], "tool_servers.1.specs.0.name"),
        ([server({"name": "x" * 65})], "tool_servers.0.specs.0.name"),
        ([server({"name": "a\n"})], "tool_servers.0.specs.0.name"),
        ([server({"name": "a", "parameters": []})], "tool_servers.0.specs.0.parameters"),
        (
            [server({"name": "a", "description": "x" * 10_001})],
            "tool_servers.0.specs.0.description",
        ),
        ([server()] * 21, "tool_servers"),
        ([server(*[{"name": f"t{number}"} for number in range(101)])] * 2, "tool_servers"),
    ],
)
async def test_a_bad_shape_is_refused_with_its_place(
    talk: Talk, upstream: Upstream, servers: Any, path: str
) -> None:
    response = await talk.ask(tool_servers=servers)
    assert response.status_code == 422, response.text
    assert (response.json()["code"], response.json()["path"]) == ("bad_payload", path)
    assert upstream.requests == []
    assert (await talk.chat())["chat"]["history"]["messages"] == {}


async def test_too_much_of_it_is_refused(talk: Talk) -> None:
    large = {"name": "large", "parameters": {"about": "x" * 1024 * 1024}}
    response = await talk.ask(tool_servers=[server(large)])
    assert (response.status_code, response.json()["code"]) == (413, "too_large")


async def test_a_request_without_a_session_has_none(talk: Talk, upstream: Upstream) -> None:
    body = {
        "model": "m1",
        "messages": [{"role": "user", "content": "Hi"}],
        "tool_servers": [server()],
    }
    response = await talk.person.http.post("/api/chat/completions", json=body)
    assert response.status_code == 200
    assert {"tools", "tool_servers"}.isdisjoint(upstream.requests[-1].body)


@pytest.mark.settings(OPENAI_API_BASE_URL="", ECHO_DELAY_MS="0")
async def test_the_echo_model_runs_one(talk: Talk) -> None:
    asked = answering(talk, "sunny in Bern")
    begun = await talk.begin('/forecast {"city": "Bern"}', model="echo", tool_servers=[server()])
    assert (await begun.end())[1]["content"] == "sunny in Bern"
    assert asked[0]["data"]["params"] == {"city": "Bern"}
