"""Calls, answered by a script or at the prompt."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import pytest

from heliograph.terminal.dialogs import PromptDialogs, ScriptedDialogs
from heliograph.terminal.events import ChatEvent
from heliograph.terminal.render import Screen
from tests.unit.terminal.fakes import turn_until


def call(kind: str, **data: Any) -> ChatEvent:
    return ChatEvent("c", "m", kind, data, call_id="call-1")


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def screen(said: io.StringIO) -> Screen:
    return Screen(said, said, plain=True)


async def test_a_script_answers_in_order_and_then_declines(
    screen: Screen, said: io.StringIO
) -> None:
    dialogs = ScriptedDialogs(screen, ["yes", "blue"])
    assert await dialogs.answer(call("confirmation", title="Sure?", message="It is big")) is True
    assert await dialogs.answer(call("input", title="Colour")) == "blue"
    assert await dialogs.answer(call("confirmation", title="Really?")) is False
    assert "declined: no --answer is left" in said.getvalue()


async def test_a_script_does_not_show_a_password(screen: Screen, said: io.StringIO) -> None:
    dialogs = ScriptedDialogs(screen, ["hunter2"])
    assert await dialogs.answer(call("input", type="password")) == "hunter2"
    assert "hunter2" not in said.getvalue()


async def test_a_confirmation_answered_with_something_else_is_declined(screen: Screen) -> None:
    assert await ScriptedDialogs(screen, ["blue"]).answer(call("confirmation")) is False


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (
            "execute:python",
            {"stdout": "", "stderr": "this client does not run Python", "result": None},
        ),
        ("execute:tool", {"error": "this client has no tools of its own"}),
        ("request:chat:completion", {"error": "this client has no model of its own"}),
    ],
)
async def test_what_the_client_cannot_do_is_answered_at_once(
    screen: Screen, kind: str, answer: dict[str, Any]
) -> None:
    assert await PromptDialogs(screen).answer(call(kind)) == answer
    assert await ScriptedDialogs(screen, []).answer(call(kind)) == answer


@pytest.fixture
async def dialogs(screen: Screen) -> PromptDialogs:
    return PromptDialogs(screen)


async def opened(dialogs: PromptDialogs) -> None:
    await turn_until(lambda: dialogs.waiting is not None)


@pytest.mark.parametrize(
    ("line", "answer"), [("y", True), ("YES", True), ("n", False), ("", False)]
)
async def test_a_confirmation_takes_yes_and_no(
    dialogs: PromptDialogs, line: str, answer: bool
) -> None:
    asked = asyncio.create_task(dialogs.answer(call("confirmation", title="Sure?")))
    await opened(dialogs)
    dialogs.reply(line)
    assert await asked is answer


async def test_a_confirmation_that_is_not_understood_is_asked_again(
    dialogs: PromptDialogs, said: io.StringIO
) -> None:
    asked = asyncio.create_task(dialogs.answer(call("confirmation", title="Sure?")))
    await opened(dialogs)
    dialogs.reply("perhaps")
    assert said.getvalue().count("yes or no?") == 2
    dialogs.reply("yes")
    assert await asked is True


async def test_an_empty_reply_means_the_value_that_was_offered(dialogs: PromptDialogs) -> None:
    asked = asyncio.create_task(dialogs.answer(call("input", title="Colour", value="red")))
    await opened(dialogs)
    dialogs.reply("")
    assert await asked == "red"


async def test_questions_are_asked_one_after_the_other(dialogs: PromptDialogs) -> None:
    first = asyncio.create_task(dialogs.answer(call("input", title="First")))
    second = asyncio.create_task(dialogs.answer(call("input", title="Second")))
    await opened(dialogs)
    dialogs.reply("1")
    assert await first == "1"
    await opened(dialogs)
    dialogs.reply("2")
    assert await second == "2"


async def test_questions_end_with_the_answer_that_asked_them(dialogs: PromptDialogs) -> None:
    first = asyncio.create_task(dialogs.answer(call("input", title="First")))
    second = asyncio.create_task(dialogs.answer(call("input", title="Second")))
    await opened(dialogs)
    dialogs.close()
    assert await first is False
    assert await second is False
