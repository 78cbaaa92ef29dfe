"""Every way an upstream may fail: the user is told, and what had arrived is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.chat.conftest import KEY
from tests.integration.chat.support import Begun, Talk
from tests.support.upstream import (
    Script,
    Upstream,
    breaks_after,
    ends_early,
    free_port,
    lines,
    refuses,
    silent_after,
    tokens,
)


async def failure(begun: Begun) -> dict[str, Any]:
    """The error told, after checking that the message says the same."""
    kind, said = await begun.end()
    assert kind == "chat:message:error", (kind, said)
    stored = await begun.stored()
    assert stored["error"] == said["error"]
    assert (stored["state"], stored["done"]) == ("error", True)
    assert KEY not in json.dumps(said)
    found: dict[str, Any] = said["error"]
    return found


@pytest.mark.settings(OPENAI_API_BASE_URL=f"http://127.0.0.1:{free_port()}/v1")
async def test_a_server_that_is_not_there_is_named(talk: Talk) -> None:
    error = await failure(await talk.begin())
    assert error["code"] == "upstream_unreachable"
    assert "127.0.0.1 cannot be reached" in error["content"]


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (refuses(429, "slow down"), "upstream_rate_limited", "slow down"),
        (refuses(500, "it broke"), "upstream_error", "status 500: it broke"),
        (refuses(401, f"bad key {KEY} (sk-abc***xyz)"), "upstream_error", "bad key … (…)"),
        (lines('{"error": {"message": "overloaded"}}'), "upstream_error", "overloaded"),
        (lines("{not json"), "upstream_malformed", "not JSON"),
        (lines("[1, 2]"), "upstream_malformed", "not a JSON object"),
        (lines('{"choices": 5}'), "upstream_malformed", "choices"),
        (lines('{"choices": [{"delta": {"content": 5}}]}'), "upstream_malformed", "not text"),
    ],
    ids=["429", "500", "401", "error object", "no JSON", "no object", "no choices", "no text"],
)
async def test_a_failing_upstream_is_reported(
    talk: Talk, upstream: Upstream, script: Script, code: str, words: str
) -> None:
    upstream.script(script)
    error = await failure(await talk.begin())
    assert error["code"] == code
    assert words in error["content"]


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (breaks_after("half ", "an"), "upstream_cut"),
        (ends_early("half ", "an"), "upstream_cut"),
        (
            lines(
                '{"choices": [{"index": 0, "delta": {"content": "half an"}}]}',
                '{"error": "out of memory"}',
            ),
            "upstream_error",
        ),
    ],
    ids=["cut", "no end", "error in mid-stream"],
)
async def test_what_had_arrived_is_kept(
    talk: Talk, upstream: Upstream, script: Script, code: str
) -> None:
    upstream.script(script)
    begun = await talk.begin()
    assert (await failure(begun))["code"] == code
    assert (await begun.stored())["content"] == "half an"
    assert "".join(d["data"]["data"]["content"] for d in begun.deltas()) == "half an"


@pytest.mark.settings(OPENAI_TIMEOUT_SECONDS="0.3")
async def test_a_silent_upstream_is_given_up(talk: Talk, upstream: Upstream) -> None:
    upstream.script(silent_after("well"))
    begun = await talk.begin()
    error = await failure(begun)
    assert error["code"] == "upstream_silent"
    assert (await begun.stored())["content"] == "well"
    await upstream.requests[-1].gone.wait()


async def test_an_answer_without_an_end_is_bounded(
    talk: Talk, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.chat.stream.MAX_ANSWER", 1000)
    upstream.script(tokens(*["x" * 100] * 20))
    begun = await talk.begin()
    assert (await failure(begun))["code"] == "answer_too_large"
    assert (await begun.stored())["content"] == "x" * 1000


async def test_the_chat_goes_on_after_a_failure(talk: Talk, upstream: Upstream) -> None:
    upstream.script(refuses(500), tokens("fine"))
    begun = await talk.begin(id="a1")
    await failure(begun)
    again = await talk.begin(id="a1")
    await again.event("chat:completion")
    stored = await again.stored()
    assert (stored["content"], stored["state"]) == ("fine", "finished")
    assert "error" not in stored


async def test_a_model_that_refuses_tools_is_asked_without(talk: Talk, upstream: Upstream) -> None:
    upstream.script(refuses(400, "m1 does not support tools"), tokens("fine"))
    begun = await talk.begin()
    assert (await begun.end())[1]["content"] == "fine"
    assert ["tools" in request.body for request in upstream.requests] == [True, False]
    await (await talk.begin()).end()
    assert "tools" not in upstream.requests[-1].body
