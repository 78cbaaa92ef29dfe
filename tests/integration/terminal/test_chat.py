"""The client's parts against a real server: streaming, stopping, resuming, dialogs."""

from __future__ import annotations

import asyncio

import pytest

from heliograph.terminal import ClientError
from heliograph.terminal.answer import Ending
from heliograph.terminal.script import run_script
from tests.integration.terminal.conftest import Seat, Sit, eventually
from tests.support.server import Person, RunningServer

WORDS = " ".join(f"word{number}" for number in range(120))


@pytest.fixture
async def ann(server: RunningServer) -> Person:
    return await server.signup("ann")


async def streaming(seat: Seat, words: str = "word3 ") -> None:
    """Wait until an answer is being shown."""
    await eventually(lambda: words in seat.shown)


def cut(server: RunningServer, person: Person) -> None:
    """Break the transport of every connection of the person."""
    for session in server.services.hub.of_user(person.id):
        assert session.link is not None
        session.link.end(1012, "a test")


@pytest.mark.parametrize("transport", ["auto", "websocket", "polling"])
async def test_an_answer_is_streamed_whole(sit: Sit, ann: Person, transport: str) -> None:
    seat = await sit(ann, messages=("Roses are red", "Violets are blue"), transport=transport)
    assert await run_script(seat.client) == 0
    assert seat.shown == "Roses are red\nViolets are blue\n"
    expected = "websocket" if transport == "auto" else transport
    assert seat.client.connection.transport == expected


@pytest.mark.settings(ENABLE_WEBSOCKET_SUPPORT="False")
async def test_without_websockets_it_falls_back_to_polling(sit: Sit, ann: Person) -> None:
    seat = await sit(ann, messages=("hello",))
    assert await run_script(seat.client) == 0
    assert (seat.shown, seat.client.connection.transport) == ("hello\n", "polling")


async def test_the_chat_is_kept_by_the_server(sit: Sit, ann: Person) -> None:
    seat = await sit(ann, messages=("one", "two"))
    assert await run_script(seat.client) == 0
    reader = await sit(ann)
    assert await reader.client.conversation.open(seat.client.conversation.chat_id) is None
    turns = [(turn.role, turn.content) for turn in reader.client.conversation.turns]
    assert turns == [("user", "one"), ("assistant", "one"), ("user", "two"), ("assistant", "two")]


@pytest.mark.settings(ECHO_DELAY_MS="100")
async def test_a_stop_is_confirmed_and_ends_the_answer(sit: Sit, ann: Person) -> None:
    seat = await sit(ann)
    asked = asyncio.create_task(seat.client.conversation.send(WORDS))
    await streaming(seat)
    assert await seat.client.conversation.stop() == "stopped, confirmed by the server"
    assert await asked is Ending.STOPPED
    assert WORDS.startswith(seat.shown.rstrip("\n"))
    assert len(seat.shown) < len(WORDS)


@pytest.mark.settings(HELIOGRAPH_TOOLS="tests.integration.terminal.tools:ALL")
async def test_an_answer_is_resumed_in_mid_stream_by_another_client(
    sit: Sit, ann: Person, gate: asyncio.Event
) -> None:
    first = await sit(ann)
    asked = asyncio.create_task(first.client.conversation.send('/gated {"gate": "test"}'))
    await streaming(first, "first half, ")
    second = await sit(ann)
    opening = asyncio.create_task(
        second.client.conversation.open(first.client.conversation.chat_id)
    )
    await streaming(second, "first half, ")
    gate.set()
    assert await opening is Ending.FINISHED
    assert await asked is Ending.FINISHED
    assert second.shown == first.shown == "first half, second half, \n\nend\n"


@pytest.mark.settings(ECHO_DELAY_MS="30")
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_a_broken_connection_neither_repeats_nor_loses_a_token(
    sit: Sit, server: RunningServer, ann: Person, transport: str
) -> None:
    seat = await sit(ann, transport=transport)
    asked = asyncio.create_task(seat.client.conversation.send(WORDS))
    await streaming(seat)
    cut(server, ann)
    assert await asked is Ending.FINISHED
    assert seat.shown == f"{WORDS}\n"
    assert "connection lost, reconnecting…\nback\n" in seat.said


@pytest.mark.settings(ECHO_DELAY_MS="5")
async def test_an_end_that_came_while_the_connection_was_away_is_not_missed(
    sit: Sit, server: RunningServer, ann: Person
) -> None:
    seat = await sit(ann)
    short = " ".join(f"word{number}" for number in range(30))
    asked = asyncio.create_task(seat.client.conversation.send(short))
    await streaming(seat)
    cut(server, ann)
    assert await asked is Ending.FINISHED
    assert seat.shown == f"{short}\n"


async def test_dialogs_are_answered_from_the_command_line(sit: Sit, ann: Person) -> None:
    messages = ('/confirm {"message": "Launch?"}', '/ask {"message": "Colour?"}', "/confirm {}")
    seat = await sit(ann, messages=messages, answers=("yes", "blue"))
    assert await run_script(seat.client) == 0
    assert seat.shown.splitlines() == [
        "the user confirmed",
        "the user answered: blue",
        "the user declined",
    ]
    assert "Launch?" in seat.said
    assert "declined: no --answer is left" in seat.said


async def test_python_is_declined_with_words(sit: Sit, ann: Person) -> None:
    seat = await sit(ann, messages=('/python {"code": "print(1)"}',))
    assert await run_script(seat.client) == 0
    assert "this client does not run Python" in seat.shown


@pytest.mark.settings(HELIOGRAPH_TOOLS="tests.integration.terminal.tools:ALL")
async def test_statuses_files_sources_and_notifications_are_shown(sit: Sit, ann: Person) -> None:
    seat = await sit(ann, messages=("/everything {}",))
    assert await run_script(seat.client) == 0
    for line in ("… Searching", "[file] plan.pdf", "[1] A book  https://example.org/b"):
        assert line in seat.said.splitlines()
    assert "By the way" in seat.said
    assert seat.shown.startswith("All of it. ")


@pytest.mark.settings(ECHO_DELAY_MS="200")
async def test_an_answer_that_takes_too_long_is_stopped(sit: Sit, ann: Person) -> None:
    seat = await sit(ann, messages=(WORDS,), timeout=1.0)
    assert await run_script(seat.client) == 1
    assert "no end of the answer within 1 s (--timeout)" in seat.said
    assert "stopped, confirmed by the server" in seat.said


async def test_a_stopped_answer_fails_the_script(
    sit: Sit, server: RunningServer, ann: Person
) -> None:
    long = " ".join([WORDS] * 50)
    seat = await sit(ann, messages=(long,))
    script = asyncio.create_task(run_script(seat.client))
    await streaming(seat)
    chat_id = seat.client.conversation.chat_id
    answer = await ann.http.post(f"/api/tasks/chat/{chat_id}/stop")
    assert answer.status_code == 200, answer.text
    assert await script == 1
    assert "the answer was stopped" in seat.said


async def test_a_model_that_is_not_there_is_refused_with_those_that_are(
    sit: Sit, ann: Person
) -> None:
    with pytest.raises(ClientError, match="no model nosuch; the server offers: echo"):
        await sit(ann, model="nosuch")


async def test_a_chat_of_somebody_else_is_not_there(
    sit: Sit, server: RunningServer, ann: Person
) -> None:
    hers = await sit(ann, messages=("mine",))
    assert await run_script(hers.client) == 0
    his = await sit(await server.signup("bob"))
    with pytest.raises(ClientError) as refused:
        await his.client.conversation.open(hers.client.conversation.chat_id)
    assert refused.value.code == "not_found"


async def test_a_deleted_account_ends_the_client_with_the_reason(
    sit: Sit, server: RunningServer, ann: Person
) -> None:
    seat = await sit(ann)
    await server.services.identity.delete_user(ann.id)
    error = await asyncio.wait_for(seat.client.over, 10)
    assert error.code == "user_unknown"
    assert "deleted" in error.message or "does not exist" in error.message


async def test_a_token_that_sockets_do_not_take_is_refused_in_words(
    sit: Sit, server: RunningServer, ann: Person
) -> None:
    key = (await ann.http.post("/api/v1/auths/api_key")).json()["api_key"]
    ann.token = key
    with pytest.raises(ClientError, match="the token is not valid here: sign in with --email"):
        await sit(ann)
