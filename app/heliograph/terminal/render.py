"""What the person sees: streamed text, and lines around it.

Purpose: one place that knows where the cursor is, so that a notice never lands in the
middle of a line. Guarantee: text of others cannot control the terminal; control
characters are taken out. Limits: lines, no full-screen view.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from heliograph.terminal.events import mapping, text

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

PROMPT = "> "


class Screen:
    """Output of one run.

    :param out: where answers go.
    :param err: where everything else goes; the same stream at a prompt.
    :param plain: no colour and no cursor movement.
    """

    def __init__(self, out: TextIO, err: TextIO, *, plain: bool) -> None:
        self._out = _console(out, plain)
        self._err = self._out if err is out else _console(err, plain)
        # A file or a pipe gets the text as it is; a terminal would obey it.
        self._obeys_out, self._obeys_err = out.isatty(), err.isatty()
        self._open_line = False
        self._prompt = ""

    @classmethod
    def of_terminal(cls, *, plain: bool) -> Screen:
        """Everything to stdout."""
        return cls(sys.stdout, sys.stdout, plain=plain)

    @classmethod
    def of_script(cls, *, plain: bool) -> Screen:
        """Answers to stdout, everything else to stderr."""
        return cls(sys.stdout, sys.stderr, plain=plain)

    # -- answers ---------------------------------------------------------------------

    def stream(self, more: str) -> None:
        """Text as it comes, without a line's end of its own."""
        if more:
            self._clear_prompt()
            cleaned = _CONTROLS.sub("", more) if self._obeys_out else more
            self._out.file.write(cleaned)
            self._out.file.flush()
            self._open_line = not cleaned.endswith("\n") if cleaned else self._open_line

    def end_line(self) -> None:
        """Go to the start of a line."""
        self._clear_prompt()
        if self._open_line:
            self._out.file.write("\n")
            self._out.file.flush()
            self._open_line = False

    # -- everything else -------------------------------------------------------------

    def heading(self, words: str) -> None:
        """A line that begins something."""
        self._line(words, "bold")

    def notice(self, words: str) -> None:
        """Something to know."""
        self._line(words, "dim")

    def error(self, words: str) -> None:
        """Something went wrong."""
        self._line(words, "bold red")

    def said(self, who: str, content: str, *, style: str = "bold cyan") -> None:
        """A message of a person."""
        self._line(Text.assemble((f"{self._clean(who)}:", style), " ", self._clean(content)), "")

    def status(self, data: Mapping[str, Any]) -> None:
        """A status ``{description, done, hidden?}`` of an answer."""
        if not data.get("hidden") and text(data.get("description")):
            mark = "✓" if data.get("done") else "…"
            self.notice(f"{mark} {data['description']}")

    def files(self, kind: str, entries: Any) -> None:
        """Files or embeds of an answer, one a line."""
        for entry in entries if isinstance(entries, list) else []:
            body = mapping(entry)
            name = text(body.get("name")) or text(body.get("url")) or text(entry)
            self.notice(f"[{kind}] {name or 'without a name'}")

    def sources(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """The sources of an answer, numbered."""
        for number, entry in enumerate(entries, 1):
            source = mapping(entry.get("source"))
            name = text(source.get("name")) or text(source.get("id")) or "a source"
            where = text(source.get("url"))
            self.notice(f"[{number}] {name}{f'  {where}' if where and where != name else ''}")

    # -- the prompt ------------------------------------------------------------------

    def prompt(self, words: str = PROMPT) -> None:
        """Show that a line is awaited; shown again after what comes in between."""
        self.end_line()
        self._prompt = words
        self._out.print(Text(self._clean(words), "bold green"), end="")
        self._out.file.flush()

    def line_entered(self) -> None:
        """The person pressed Enter: the cursor is at the start of a line."""
        self._prompt = ""
        self._open_line = False

    def drop_prompt(self) -> None:
        """No line is awaited any more."""
        self._clear_prompt()

    def _clear_prompt(self) -> None:
        if self._prompt:
            self._out.file.write("\r\x1b[K" if self._out.is_terminal else "\n")
            self._prompt = ""

    def _line(self, words: str | Text, style: str) -> None:
        prompt = self._prompt
        if self._err is self._out:
            self.end_line()
        shown = words if isinstance(words, Text) else Text(self._clean(words), style)
        self._err.print(shown)
        self._err.file.flush()
        if prompt:
            self.prompt(prompt)

    def _clean(self, words: str) -> str:
        return _CONTROLS.sub("", words) if self._obeys_err else words


def _console(stream: TextIO, plain: bool) -> Console:
    return Console(
        file=stream,
        no_color=plain or None,
        force_terminal=False if plain else None,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
    )
