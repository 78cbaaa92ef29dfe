"""What the person sees, line by line."""

from __future__ import annotations

import io

from heliograph.terminal.render import Screen
from tests.unit.terminal.fakes import Tty


def plain() -> tuple[Screen, io.StringIO]:
    out = io.StringIO()
    return Screen(out, out, plain=True), out


def test_a_notice_in_mid_line_begins_a_line_of_its_own() -> None:
    screen, out = plain()
    screen.stream("half a")
    screen.notice("Searching")
    screen.stream(" line")
    screen.end_line()
    assert out.getvalue() == "half a\nSearching\n line\n"


def test_a_line_that_is_at_its_end_is_not_ended_twice() -> None:
    screen, out = plain()
    screen.stream("done\n")
    screen.end_line()
    assert out.getvalue() == "done\n"


def test_plain_output_has_no_escape_sequences() -> None:
    out = Tty()
    screen = Screen(out, out, plain=True)
    screen.heading("A chat")
    screen.error("broken")
    screen.prompt()
    screen.notice("by the way")
    assert "\x1b" not in out.getvalue()


def test_a_terminal_gets_colour() -> None:
    out = Tty()
    Screen(out, out, plain=False).error("broken")
    assert "\x1b[" in out.getvalue()


def test_text_of_others_cannot_control_a_terminal() -> None:
    out = Tty()
    screen = Screen(out, out, plain=True)
    screen.stream("a\x1b[2Jb\x9b31mc\rd")
    screen.said("ann\x1b]0;x\x07", "hi\x1b[1A")
    screen.notice("\u202etxt.exe")
    assert out.getvalue() == "a[2Jb31mcd\nann]0;x: hi[1A\ntxt.exe\n"


def test_a_pipe_gets_the_answer_as_it_is() -> None:
    out = io.StringIO()
    Screen(out, io.StringIO(), plain=True).stream("a\x1b[2Jb")
    assert out.getvalue() == "a\x1b[2Jb"


def test_answers_and_the_rest_go_apart_in_a_script() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, plain=True)
    screen.stream("half")
    screen.notice("Searching")
    screen.stream(" whole")
    screen.end_line()
    assert (out.getvalue(), err.getvalue()) == ("half whole\n", "Searching\n")


def test_the_prompt_is_shown_again_after_a_notice() -> None:
    screen, out = plain()
    screen.prompt("> ")
    screen.notice("ann joined")
    assert out.getvalue() == "> \nann joined\n> "


def test_markup_in_text_is_text() -> None:
    screen, out = plain()
    screen.notice("[red]not red[/red] :smile:")
    assert out.getvalue() == "[red]not red[/red] :smile:\n"


def test_long_lines_are_not_broken() -> None:
    screen, out = plain()
    screen.notice("word " * 100)
    assert out.getvalue().count("\n") == 1
