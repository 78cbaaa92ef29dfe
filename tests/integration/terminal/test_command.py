"""The real command in a process of its own."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.terminal.terminal import Terminal, run_command
from tests.support.server import PASSWORD, RunningServer

WORDS = " ".join(f"word{number}" for number in range(150))
ANN = ("--email", "ann@example.org", "--password", PASSWORD)


def to(server: RunningServer) -> tuple[str, ...]:
    return ("--url", server.url, *ANN)


async def test_a_smoke_test_signs_up_asks_and_exits_with_zero(server: RunningServer) -> None:
    code, out, err = await run_command(
        *to(server), "--signup", "--name", "Ann", "--message", "Roses are red", "--message", "Bye"
    )
    assert (code, out) == (0, "Roses are red\nBye\n"), err
    assert "signed up as Ann" in err
    assert "\x1b" not in out + err


async def test_no_server_is_exit_code_two_and_a_sentence() -> None:
    code, out, err = await run_command("--url", "http://127.0.0.1:9", "--message", "hello")
    assert (code, out) == (2, "")
    assert err == (
        "no server answers at http://127.0.0.1:9. Start one with `make run`, "
        "or name another with --url.\n"
    )


async def test_nobody_to_ask_for_a_password_is_said(server: RunningServer) -> None:
    code, _, err = await run_command("--url", server.url, "--message", "hello")
    assert code == 2
    assert "Give --email and --password" in err


async def test_lines_from_a_pipe_wait_for_their_turn(server: RunningServer) -> None:
    await server.signup("ann")
    code, out, err = await run_command(*to(server), stdin="/confirm {}\ny\nRoses are red\n")
    assert code == 0, err
    assert "the user confirmed\n" in out
    assert out.endswith("Roses are red\n")


async def test_a_dialog_at_the_end_of_a_pipe_is_declined(server: RunningServer) -> None:
    await server.signup("ann")
    code, out, err = await run_command(*to(server), stdin="/confirm {}\nperhaps\n")
    assert code == 0, err
    assert "the user declined\n" in out


@pytest.mark.settings(ECHO_DELAY_MS="100")
async def test_a_newcomer_signs_up_at_the_terminal_and_stops_an_answer(
    server: RunningServer,
) -> None:
    async with Terminal("--url", server.url) as terminal:
        await terminal.expect("E-mail: ")
        terminal.enter("ann@example.org")
        await terminal.expect("Password: ")
        terminal.enter(PASSWORD)
        await terminal.expect("wrong e-mail or password")
        await terminal.expect("Your name")
        terminal.enter("Ann")
        await terminal.expect("signed up as Ann (user)")
        await terminal.expect("> ")
        terminal.enter(WORDS)
        await terminal.expect("word149")  # what was typed
        await terminal.expect("word0 word1 word2 ")  # what is answered
        terminal.type("\x03")
        await terminal.expect("stopped, confirmed by the server")
        await terminal.expect("> ")
        terminal.enter("and this?")
        await terminal.expect("and this?\nand this?\n")
        await terminal.expect("> ")
        terminal.type("\x04")
        assert await terminal.ended() == 0
        assert PASSWORD not in terminal.text


@pytest.mark.settings(HELIOGRAPH_TOOLS="tests.integration.terminal.tools:ALL")
async def test_leaving_in_mid_stream_and_coming_back_shows_the_whole_answer(
    server: RunningServer, gate: asyncio.Event
) -> None:
    await server.signup("ann")
    async with Terminal(*to(server)) as terminal:
        await terminal.expect("> ")
        terminal.enter('/gated {"gate": "test"}')
        await terminal.expect("first half, ")
        terminal.enter("/leave")
        await terminal.expect("--chat ")
        assert await terminal.ended() == 0
        chat_id = terminal.text.split("--chat ")[1].split()[0]
    async with Terminal(*to(server), "--chat", chat_id) as terminal:
        await terminal.expect("the answer is still coming\nfirst half, ")
        gate.set()
        await terminal.expect("second half, ")
        await terminal.expect("end\n> ")


@pytest.mark.settings(HELIOGRAPH_TOOLS="tests.integration.terminal.tools:ALL")
async def test_dialogs_are_answered_at_the_terminal(server: RunningServer) -> None:
    await server.signup("ann")
    async with Terminal(*to(server)) as terminal:
        await terminal.expect("> ")
        terminal.enter('/confirm {"title": "Launch", "message": "Really?"}')
        await terminal.expect("Launch\nReally?\nyes or no? [y/N] ")
        terminal.enter("y")
        await terminal.expect("the user confirmed\n")
        await terminal.expect("> ")
        terminal.enter('/ask {"message": "Your colour?", "value": "red"}')
        await terminal.expect("Your colour?\n[red] > ")
        terminal.enter("blue")
        await terminal.expect("the user answered: blue\n")
        await terminal.expect("> ")
        terminal.enter("/secret {}")
        await terminal.expect("(hidden) > ")
        terminal.enter("hunter2")
        await terminal.expect("7 characters\n")
        assert "hunter2" not in terminal.text
        await terminal.expect("> ")
        terminal.enter("visible again")
        await terminal.expect("visible again\nvisible again\n")


async def test_commands_list_what_there_is(server: RunningServer) -> None:
    ann = await server.signup("ann")
    await ann.http.post("/api/v1/channels/create", json={"name": "garden"})
    await ann.http.post("/api/v1/notes/create", json={"title": "Seeds"})
    async with Terminal(*to(server)) as terminal:
        for line, shown in (
            ("/help", "/leave, Ctrl-D"),
            ("/models", "echo  Echo"),
            ("/model echo", "model echo"),
            ("/model nosuch", "no model nosuch; the server offers: echo"),
            ("/notes", "Seeds"),
            ("/channel", "garden"),
            ("hello", "hello\nhello\n"),
            ("/chats", "hello"),
            ("/new", "a new chat begins"),
            ("/open nosuch", "no chat nosuch"),
            ("/stop", "nothing to stop"),
            ("/channel garden", "#garden\n#garden > "),
        ):
            await terminal.expect("> ")
            terminal.enter(line)
            await terminal.expect(shown)
        terminal.enter("hello garden")
        await terminal.expect("#garden > ")
        stored = await server.root.http.get("/api/v1/channels/")
        assert stored.status_code == 200
        terminal.enter("/leave")
        assert await terminal.ended() == 0


@pytest.mark.settings(HELIOGRAPH_TOOLS="tests.integration.terminal.tools:ALL")
async def test_a_line_typed_while_an_answer_streams_is_sent_after_it(
    server: RunningServer, gate: asyncio.Event
) -> None:
    await server.signup("ann")
    async with Terminal(*to(server)) as terminal:
        await terminal.expect("> ")
        terminal.enter('/gated {"gate": "test"}')
        await terminal.expect("first half, ")
        terminal.enter("afterwards")
        await terminal.expect("(sent after this answer; /stop stops it)")
        gate.set()
        await terminal.expect("end\n")
        await terminal.expect("afterwards\n> ")
