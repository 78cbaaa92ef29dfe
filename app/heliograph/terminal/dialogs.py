"""Calls of the server that a person, or a script, answers.

Shapes: ``confirmation {title, message}`` gives ``True`` or ``False``; ``input {title,
message, placeholder?, value?, type?}`` gives the text, or ``False`` when declined. What
this client cannot do (Python, page tools, an own model) is answered at once with words.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from heliograph.terminal.events import ChatEvent, text
from heliograph.terminal.render import Screen

_YES = ("y", "yes", "true", "1")
_NO = ("n", "no", "false", "0")


class Dialogs(Protocol):
    """Answers calls."""

    async def answer(self, event: ChatEvent) -> Any:
        """The answer to one call."""

    def close(self) -> None:
        """The answer that asked has ended: decline what is open."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    :ivar secret: the reply must not be shown.
    :ivar default: what an empty reply to an ``input`` means.
    """

    title: str
    message: str
    confirmation: bool
    secret: bool = False
    default: str = ""
    placeholder: str = ""

    @classmethod
    def of(cls, event: ChatEvent) -> Question | None:
        """The question of a call, or ``None`` when no person is asked."""
        if event.type not in ("confirmation", "input"):
            return None
        data = event.data
        return cls(
            title=text(data.get("title")),
            message=text(data.get("message")),
            confirmation=event.type == "confirmation",
            secret=data.get("type") == "password",
            default=text(data.get("value")),
            placeholder=text(data.get("placeholder")),
        )

    @property
    def prompt(self) -> str:
        """What stands before the reply."""
        if self.confirmation:
            return "yes or no? [y/N] "
        if self.secret:
            return "(hidden) > "
        hint = f"[{self.default}] " if self.default else ""
        hint = hint or (f"({self.placeholder}) " if self.placeholder else "")
        return f"{hint}> "

    def read(self, reply: str) -> bool | str | None:
        """The answer that a reply means; ``None`` when a confirmation is not understood."""
        if not self.confirmation:
            return reply or self.default
        word = reply.strip().lower()
        if word in _YES:
            return True
        return False if word in _NO or not word else None


def answer_for_nobody(event: ChatEvent) -> Any:
    """The answer to a call that this client does not serve."""
    if event.type == "execute:python":
        return {"stdout": "", "stderr": "this client does not run Python", "result": None}
    if event.type == "execute:tool":
        return {"error": "this client has no tools of its own"}
    if event.type == "request:chat:completion":
        return {"error": "this client has no model of its own"}
    return {"error": f"this client does not know the call {event.type}"}


def show(screen: Screen, question: Question) -> None:
    """Print what is asked."""
    screen.heading(question.title or ("Confirm" if question.confirmation else "Input"))
    if question.message:
        screen.notice(question.message)


class ScriptedDialogs:
    """Answers given beforehand, in order; beyond them everything is declined."""

    def __init__(self, screen: Screen, answers: Iterable[str]) -> None:
        self._screen = screen
        self._answers = deque(answers)

    async def answer(self, event: ChatEvent) -> Any:
        question = Question.of(event)
        if question is None:
            self._screen.notice(f"the server asked for {event.type}, which is not done here")
            return answer_for_nobody(event)
        show(self._screen, question)
        if not self._answers:
            self._screen.notice("declined: no --answer is left")
            return False
        given = question.read(self._answers.popleft())
        if given is None:
            self._screen.notice("declined: a confirmation takes --answer yes or no")
            return False
        words = {True: "yes", False: "no"}[given] if isinstance(given, bool) else given
        self._screen.notice(f"answered: {'(hidden)' if question.secret else words}")
        return given

    def close(self) -> None:
        pass


class PromptDialogs:
    """Asks the person, one question at a time.

    :ivar waiting: the question on the screen, if any; :meth:`reply` answers it.
    :ivar on_opening: called before a question is shown, so that a secret is never echoed.
    :ivar on_opened: called when it is shown and can be answered.
    :ivar on_closed: called when it has its answer.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._turn = asyncio.Lock()
        self._round = 0
        self._reply: asyncio.Future[bool | str] | None = None
        self.waiting: Question | None = None
        self.on_opening: Callable[[], None] = _nothing
        self.on_opened: Callable[[], None] = _nothing
        self.on_closed: Callable[[], None] = _nothing

    async def answer(self, event: ChatEvent) -> Any:
        question = Question.of(event)
        if question is None:
            self._screen.notice(f"the server asked for {event.type}, which is not done here")
            return answer_for_nobody(event)
        this_round = self._round
        async with self._turn:
            if self._round != this_round:
                return False  # withdrawn while it waited for its turn
            self._reply = asyncio.get_running_loop().create_future()
            self.waiting = question
            self.on_opening()
            show(self._screen, question)
            self._screen.prompt(question.prompt)
            self.on_opened()
            try:
                return await self._reply
            finally:
                self.waiting = self._reply = None
                self.on_closed()

    def reply(self, line: str) -> bool:
        """The line that the person entered for :attr:`waiting`; whether it was understood."""
        assert self.waiting is not None
        given = self.waiting.read(line)
        if given is None:
            self._screen.prompt(self.waiting.prompt)
            return False
        self.waiting = None  # the next line is none of its business, even if it is here already
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(given)
        return True

    def close(self) -> None:
        self._round += 1
        if self._reply is not None and not self._reply.done():
            self._screen.drop_prompt()
            self._screen.notice("the question is withdrawn")
            self._reply.set_result(False)


def _nothing() -> None:
    pass
