"""From a question to a settled answer: deltas, end, title, history, refusals."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.chat.support import Talk, begin_talk, get_chat, messages_of, text_of
from tests.support.server import RunningServer
from tests.support.upstream import Upstream, held, tokens, whole


async def test_an_answer_arrives_as_deltas_and_is_stored(talk: Talk, upstream: Upstream) -> None:
    upstream.script(tokens("Hel", "lo", "!", usage={"total_tokens": 5}))
    begun = await talk.begin("Hi there")
    assert await begun.end() == (
        "chat:completion",
        {
            "done": True,
            "state": "finished",
            "content": "Hello!",
            "usage": {"total_tokens": 5},
            "title": "Hi there",
        },
    )
    assert text_of(begun.deltas()) == "Hello!"
    stored = await begun.stored()
    assert stored["content"] == "Hello!"
    assert (stored["state"], stored["done"], stored["role"]) == ("finished", True, "assistant")
    assert stored["usage"] == {"total_tokens": 5}
    assert "seq" not in stored


async def test_the_question_is_stored_before_the_answer(talk: Talk) -> None:
    begun = await talk.begin("What?", user_message={"id": "q1", "content": "What?", "files": [1]})
    await begun.end()
    messages = messages_of(await talk.chat())
    assert messages["q1"]["content"] == "What?"
    assert messages["q1"]["files"] == [1]
    assert messages["q1"]["childrenIds"] == [begun.message_id]
    assert messages[begun.message_id]["parentId"] == "q1"
    assert (await talk.chat())["chat"]["history"]["currentId"] == begun.message_id


async def test_a_question_without_an_id_gets_one(talk: Talk) -> None:
    first = await talk.begin("One")
    await first.end()
    second = await talk.begin("Two")
    await second.end()
    messages = messages_of(await talk.chat())
    asked = {m["content"]: m for m in messages.values() if m["role"] == "user"}
    assert set(asked) == {"One", "Two"}
    assert asked["One"]["parentId"] is None
    assert asked["Two"]["parentId"] == first.message_id
    assert messages[second.message_id]["parentId"] == asked["Two"]["id"]


async def test_a_question_that_the_page_has_stored_is_not_stored_twice(talk: Talk) -> None:
    copy = {
        "history": {
            "messages": {
                "q1": {"id": "q1", "role": "user", "content": "Hm?", "parentId": None},
                "a1": {"id": "a1", "role": "assistant", "content": "", "parentId": "q1"},
            },
            "currentId": "a1",
        }
    }
    await talk.person.http.post(f"/api/v1/chats/{talk.chat_id}", json={"chat": copy})
    begun = await talk.begin("Hm?", id="a1")
    await begun.end()
    messages = messages_of(await talk.chat())
    assert set(messages) == {"q1", "a1"}
    assert messages["a1"]["content"] == "hello world"
    assert messages["a1"]["parentId"] == "q1"


async def test_history_comes_from_the_stored_branch_when_none_is_sent(
    talk: Talk, upstream: Upstream
) -> None:
    await (await talk.begin("One", user_message={"id": "q1", "content": "One"})).end()
    begun = await talk.begin(messages=None, user_message={"id": "q2", "content": "Two"})
    await begun.end()
    assert upstream.requests[-1].body["messages"] == [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "hello world"},
        {"role": "user", "content": "Two"},
    ]


async def test_the_model_is_sent_openai_fields_only(talk: Talk, upstream: Upstream) -> None:
    await (await talk.begin(temperature=0.5, variables={"x": 1}, features={}, tool_ids=[])).end()
    request = upstream.requests[-1]
    assert set(request.body) == {"model", "messages", "stream", "temperature"}
    assert request.body["messages"] == [{"role": "user", "content": "Hi"}]
    assert request.headers["authorization"] == "Bearer sk-very-secret-key-0123456789"


async def test_a_new_chat_gets_its_title_live_and_only_once(talk: Talk) -> None:
    long = "Why is the sky blue and why does it turn red in the evening over the sea?\nMore."
    begun = await talk.begin(long)
    title = await begun.event("chat:title")
    assert title == "Why is the sky blue and why does it turn red in the evening…"
    await begun.end()
    assert (await talk.chat())["title"] == title
    again = await talk.begin("Something else")
    _, said = await again.end()
    assert "title" not in said
    assert (await talk.chat())["title"] == title


async def test_active_is_told_at_the_beginning_and_the_end(talk: Talk) -> None:
    begun = await talk.begin()
    assert await begun.event("chat:active") == {"active": True, "message_id": begun.message_id}
    await begun.end()
    assert await begun.event("chat:active") == {"active": False, "message_id": begun.message_id}


async def test_an_upstream_that_does_not_stream_is_taken_whole(
    talk: Talk, upstream: Upstream
) -> None:
    upstream.script(whole("All at once"))
    begun = await talk.begin(stream=False)
    _, said = await begun.end()
    assert said["content"] == "All at once"
    assert upstream.requests[-1].body["stream"] is False
    assert (await begun.stored())["content"] == "All at once"


async def test_an_answer_can_be_written_anew_and_gone_on_with(
    talk: Talk, upstream: Upstream
) -> None:
    upstream.script(tokens("first"), tokens("second"), tokens(" and more"))
    begun = await talk.begin(id="a1", user_message={"id": "q1", "content": "Hi"})
    await begun.end()
    assert (await talk.begin(id="a1", user_message={"id": "q1", "content": "Hi"})).message_id
    await begun.end()
    assert (await begun.stored())["content"] == "second"
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "second"}]
    await talk.begin(id="a1", messages=history)
    _, said = await begun.end()
    assert said["content"] == "second and more"
    assert (await begun.stored())["content"] == "second and more"
    assert len(messages_of(await talk.chat())) == 2


async def test_a_message_in_flight_cannot_be_answered_twice(talk: Talk, upstream: Upstream) -> None:
    gate = asyncio.Event()
    upstream.script(held("a", gate=gate))
    begun = await talk.begin(id="a1")
    refused = await talk.ask(id="a1")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_flight")
    gate.set()
    await begun.end()


async def test_what_is_wrong_with_a_request_is_said(server: RunningServer, talk: Talk) -> None:
    bob = await begin_talk(server, "bob")
    for change, status, code in (
        ({"chat_id": bob.chat_id}, 404, "not_found"),
        ({"chat_id": "nowhere"}, 404, "not_found"),
        ({"chat_id": None}, 422, "bad_payload"),
        ({"id": None}, 422, "bad_payload"),
        ({"id": "no spaces please"}, 422, "bad_payload"),
        ({"session_id": "gone"}, 409, "session_gone"),
        ({"session_id": bob.socket.sid}, 409, "session_gone"),
        ({"model": "unheard-of"}, 404, "model_unknown"),
        ({"messages": []}, 422, "bad_payload"),
        ({"messages": "hello"}, 422, "bad_payload"),
        ({"messages": [{"content": "no role"}]}, 422, "bad_payload"),
        ({"messages": [{"role": "user", "content": 5}]}, 422, "bad_payload"),
        ({"messages": [{"role": "user", "content": "x"}] * 2001}, 422, "bad_payload"),
    ):
        response = await talk.ask(**change)
        assert (response.status_code, response.json()["code"]) == (status, code), change
    chat = await talk.chat()
    assert messages_of(chat) == {}
    assert chat["chat"]["history"]["currentId"] is None


async def test_odd_characters_survive_or_are_mended(talk: Talk, upstream: Upstream) -> None:
    upstream.script(tokens("nul\x00", "\ud83d", "\ude00", "half\ud83d", " ünï"))
    begun = await talk.begin("zero\x00byte")
    _, said = await begun.end()
    assert said["content"] == "nul\ufffd😀half\ufffd ünï"
    assert text_of(begun.deltas()) == said["content"]
    assert (await begun.stored())["content"] == said["content"]


async def test_a_question_of_a_million_characters_is_taken(talk: Talk, upstream: Upstream) -> None:
    question = "x" * 1_000_000
    begun = await talk.begin(question)
    await begun.end()
    assert upstream.requests[-1].body["messages"][0]["content"] == question
    messages = messages_of(await talk.chat())
    assert question in [message["content"] for message in messages.values()]


async def test_a_request_that_is_too_large_is_refused(talk: Talk) -> None:
    refused = await talk.ask("x" * (9 * 1024 * 1024))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


@pytest.mark.settings(OPENAI_API_BASE_URL="")
async def test_echo_repeats_the_question_exactly(talk: Talk) -> None:
    question = "  Two  words\nand a line. "
    begun = await talk.begin(question, model="echo")
    _, said = await begun.end()
    assert said["content"] == question
    assert len(begun.deltas()) > 1


@pytest.mark.settings(OPENAI_API_BASE_URL="", ECHO_DELAY_MS="0", CHAT_DELTA_INTERVAL_MS="0")
async def test_temporary_chats_stream_but_are_not_stored(talk: Talk) -> None:
    begun = await talk.begin("a b c", model="echo", chat_id=f"local:{talk.socket.sid}")
    assert (await begun.end())[1]["content"] == "a b c"
    assert text_of(begun.deltas()) == "a b c"
    chats = await talk.person.http.get("/api/v1/chats/")
    assert [entry["id"] for entry in chats.json()] == [talk.chat_id]
    assert messages_of(await get_chat(talk.person, talk.chat_id)) == {}
