"""Plain OpenAI answers, for whoever brings no session."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.integration.chat.support import Talk, messages_of
from tests.support.upstream import (
    Upstream,
    breaks_after,
    calls,
    free_port,
    lines,
    many_tokens,
    refuses,
    tokens,
    whole,
)

QUESTION = {"model": "m1", "messages": [{"role": "user", "content": "Hi  there"}]}


async def ask(talk: Talk, **more: Any) -> httpx.Response:
    return await talk.person.http.post("/api/chat/completions", json={**QUESTION, **more})


def events(response: httpx.Response) -> list[Any]:
    """The data of the stream's events."""
    assert response.headers["content-type"].startswith("text/event-stream")
    found = [line[6:] for line in response.text.split("\n\n") if line]
    return [json.loads(text) if text != "[DONE]" else text for text in found]


def said(chunks: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for chunk in chunks
        if chunk != "[DONE]"
        for choice in chunk.get("choices", [])
    )


async def test_a_stream_is_openai_s(talk: Talk, upstream: Upstream) -> None:
    upstream.script(tokens("a", "b"))
    found = events(await ask(talk, stream=True, temperature=1))
    assert said(found) == "ab"
    assert found[-1] == "[DONE]"
    assert found[-2]["choices"][0]["finish_reason"] == "stop"
    assert upstream.requests[-1].body == {**QUESTION, "stream": True, "temperature": 1}
    assert messages_of(await talk.chat()) == {}
    assert talk.socket.events("events") == []


async def test_a_whole_answer_is_passed_on(talk: Talk, upstream: Upstream) -> None:
    upstream.script(whole("all"))
    answer = (await ask(talk)).json()
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "all"}
    assert answer["usage"] == {"total_tokens": 7}


async def test_shapes_are_turned_into_each_other(talk: Talk, upstream: Upstream) -> None:
    upstream.script(tokens("a", "b"))
    answer = (await ask(talk)).json()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "ab"
    upstream.script(whole("all"))
    found = events(await ask(talk, stream=True))
    assert (said(found), found[-1]) == ("all", "[DONE]")


async def test_tools_are_the_caller_s_own(talk: Talk, upstream: Upstream) -> None:
    tool = {"type": "function", "function": {"name": "mine", "parameters": {}}}
    upstream.script(calls(("mine", '{"x": 1}')))
    answer = (await ask(talk, tools=[tool])).json()
    assert upstream.requests[-1].body["tools"] == [tool]
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"x": 1}'


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("upstreams", "ours", "code"),
    [
        (429, 429, "upstream_rate_limited"),
        (500, 502, "upstream_error"),
        (401, 502, "upstream_error"),
        (400, 400, "upstream_error"),
    ],
)
async def test_a_refusal_keeps_its_meaning(
    talk: Talk, upstream: Upstream, stream: bool, upstreams: int, ours: int, code: str
) -> None:
    upstream.script(refuses(upstreams, "because"))
    answer = await ask(talk, stream=stream)
    assert (answer.status_code, answer.json()["code"]) == (ours, code)
    assert "because" in answer.json()["detail"]


@pytest.mark.settings(OPENAI_API_BASE_URL=f"http://127.0.0.1:{free_port()}/v1")
async def test_an_unreachable_server_is_a_bad_gateway(talk: Talk) -> None:
    for answer in (await ask(talk), await ask(talk, stream=True)):
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_unreachable")


async def test_a_fault_in_mid_stream_is_said_in_the_stream(talk: Talk, upstream: Upstream) -> None:
    upstream.script(breaks_after("a"), lines('{"choices": []}', '{"error": "busy"}'))
    found = events(await ask(talk, stream=True))
    assert said(found[:-1]) == "a"
    assert found[-1]["error"]["code"] == "upstream_cut"
    found = events(await ask(talk, stream=True))
    assert "busy" in found[-1]["error"]["message"]


async def test_a_client_that_leaves_ends_the_upstream_s_stream(
    talk: Talk, upstream: Upstream
) -> None:
    upstream.script(many_tokens(1_000_000))
    body = {**QUESTION, "stream": True}
    async with talk.person.http.stream("POST", "/api/chat/completions", json=body) as response:
        async for _ in response.aiter_bytes():
            break
    await upstream.requests[-1].gone.wait()


@pytest.mark.settings(OPENAI_API_BASE_URL="")
async def test_echo_answers_plainly_too(talk: Talk) -> None:
    answer = (await ask(talk, model="echo")).json()
    assert answer["choices"][0]["message"]["content"] == "Hi  there"
    assert said(events(await ask(talk, model="echo", stream=True))) == "Hi  there"


async def test_what_is_wrong_with_a_request_is_said(talk: Talk) -> None:
    for change, status in (
        ({"messages": []}, 422),
        ({"messages": None}, 422),
        ({"model": ""}, 422),
        ({"model": "unheard-of"}, 404),
        ({"model_item": {"direct": True}}, 422),
    ):
        assert (await ask(talk, **change)).status_code == status
    async with httpx.AsyncClient(base_url=talk.server.url) as stranger:
        answer = await stranger.post("/api/chat/completions", json=QUESTION)
    assert answer.status_code == 401


async def test_models_are_listed_and_asked_for_once(talk: Talk, upstream: Upstream) -> None:
    for _ in range(3):
        answer = await talk.person.http.get("/api/models")
        assert answer.json() == {
            "data": [{"id": "m1", "name": "m1"}, {"id": "m2", "name": "Second"}]
        }
    assert upstream.models_asked == 1


async def test_a_list_that_cannot_be_had_is_a_bad_gateway(talk: Talk, upstream: Upstream) -> None:
    upstream.models = 500
    answer = await talk.person.http.get("/api/models")
    assert (answer.status_code, answer.json()["code"]) == (502, "upstream_error")
    assert (await ask(talk, model="any")).status_code == 200  # the upstream may still answer


@pytest.mark.settings(OPENAI_API_BASE_URL="")
async def test_without_an_upstream_there_is_echo(talk: Talk) -> None:
    answer = await talk.person.http.get("/api/models")
    assert [model["id"] for model in answer.json()["data"]] == ["echo"]
