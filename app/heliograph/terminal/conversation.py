"""One chat: send, stream, stop, resume.

Purpose: hold what is known of the open chat and turn its events into text on the screen.
Guarantee: after a broken connection, what was missed is asked for before newer events
are shown. Limits: one answer at a time; other windows' answers in the same chat are
shown only by opening it anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from heliograph.terminal.answer import Answer, Ending, Piece
from heliograph.terminal.api import Api
from heliograph.terminal.events import ChatEvent, error_text, mapping, text
from heliograph.terminal.failures import ClientError, ConnectionGone
from heliograph.terminal.history import Turn, branch_of, ending_of, messages_of, streams_of
from heliograph.terminal.render import Screen

_HISTORY_SHOWN = 20
_RECHECKS = 10
_RECHECK_SECONDS = 1.0
_STOP_SECONDS = 5.0
_NO_LONGER_ANSWERED = "the server does not work on this answer any more"


class Wire(Protocol):
    """What a conversation needs of the connection."""

    @property
    def session_id(self) -> str:
        """The session's id; empty while away."""

    async def present(self) -> None:
        """Wait until it is connected."""

    async def call(self, event: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send and return the ack."""

    async def emit(self, event: str, payload: Mapping[str, Any]) -> None:
        """Send."""


class Conversation:
    """The open chat.

    :ivar chat_id: empty until the first message creates the chat.
    :ivar answer: the answer in flight or, later, the last one.
    :ivar on_answered: called when an answer has ended, to close its dialogs.
    """

    def __init__(self, api: Api, wire: Wire, screen: Screen, model: str) -> None:
        self.chat_id = ""
        self.model = model
        self.turns: list[Turn] = []
        self.answer: Answer | None = None
        self._api = api
        self._wire = wire
        self._screen = screen
        self._tasks: list[str] = []
        self._sources: list[Mapping[str, Any]] = []
        self._held: list[ChatEvent] | None = None
        self._repair: asyncio.Task[None] | None = None
        self._gap_given_up = False
        self._stopping = False
        self._begun = False
        self._title = ""
        self.on_answered: Callable[[], None] = _nothing

    @property
    def streaming(self) -> bool:
        """Whether an answer is in flight."""
        return self.answer is not None and self.answer.running

    # -- what the person does --------------------------------------------------------

    def start_anew(self) -> None:
        """Forget the open chat; the next message creates one."""
        self.chat_id, self.turns, self.answer = "", [], None

    async def send(self, content: str) -> Ending:
        """Ask, and stream the answer to its end.

        :raises ClientError: it was not even begun.
        """
        await self._wire.present()
        if not self.chat_id:
            self.chat_id = await self._api.new_chat(self.model)
        asked = Turn(str(uuid.uuid4()), "user", content)
        parent = self.turns[-1].id if self.turns else None
        history = [*self.turns, asked]
        answer = self._begin(str(uuid.uuid4()))
        try:
            self._tasks = await self._api.complete(
                {
                    "model": self.model,
                    "messages": [{"role": turn.role, "content": turn.content} for turn in history],
                    "stream": True,
                    "chat_id": self.chat_id,
                    "id": answer.message_id,
                    "session_id": self._wire.session_id,
                    "parent_id": asked.id,
                    "user_message": {"id": asked.id, "parentId": parent, "content": content},
                }
            )
        except BaseException:
            # A refusal, or the person left while it was asked for: nothing streams here.
            self.answer = None
            raise
        self._begun = True
        self.turns = history
        return await self._to_the_end(answer)

    async def open(self, chat_id: str) -> Ending | None:
        """Show a chat; when an answer is in flight, stream it to its end.

        :returns: how that answer ended, or ``None`` when none was in flight.
        :raises ClientError: there is no such chat.
        """
        self._held = []
        try:
            reply = await self._wire.call("join-chat", {"chat_id": chat_id})
            chat = await self._api.chat(chat_id)
            self.start_anew()
            self.chat_id = str(chat.get("id", chat_id))
            models = mapping(chat.get("chat")).get("models")
            if isinstance(models, list) and models and isinstance(models[0], str):
                self.model = models[0]
            self.turns = branch_of(chat)
            streams = streams_of(reply)
            in_flight = next((t for t in reversed(self.turns) if t.id in streams), None)
            if in_flight is not None:
                self.turns = self.turns[: self.turns.index(in_flight)]
            self._show_history(text(chat.get("title")))
            answer = None
            if in_flight is not None:
                self._screen.notice("the answer is still coming")
                answer = self._begin(in_flight.id)
                self._show(answer.catch_up(streams[in_flight.id]) or Piece(""))
        finally:
            self._release()
        if answer is None:
            return None
        self._begun = True
        self._tasks = await self._api.chat_tasks(self.chat_id)
        return await self._to_the_end(answer)

    async def stop(self) -> str:
        """Stop the answer in flight.

        :returns: the server's confirmation, as a sentence.
        """
        self._stopping = True
        tasks = self._tasks or await self._api.chat_tasks(self.chat_id)
        if not tasks:
            return "nothing to stop: the answer has no task at the server"
        replies = [await self._api.stop_task(task) for task in tasks]
        if any(reply.get("status") == "stopped" for reply in replies):
            if self.answer is not None:
                # The event that ends it may be a moment behind, or lost with a connection.
                await asyncio.wait({self.answer.ended}, timeout=_STOP_SECONDS)
                self.answer.end(Ending.STOPPED)
            return "stopped, confirmed by the server"
        words = next((text(r.get("message")) for r in replies if text(r.get("message"))), "")
        return f"not stopped: {words or 'the task had ended before'}"

    # -- what comes over the socket --------------------------------------------------

    def on_event(self, event: ChatEvent) -> None:
        """An event of any chat of the user; those of others are ignored."""
        if event.type == "notification":
            self._screen.notice(text(event.data.get("content")) or "a notification")
        elif self._held is not None:
            self._held.append(event)
        elif event.chat_id == self.chat_id and self.chat_id:
            if self._leaves_gap(event):
                self._held = [event]
                self._repair = asyncio.create_task(self._fill_gap())
            else:
                self._take(event)

    def _leaves_gap(self, event: ChatEvent) -> bool:
        # A delta that the server could not publish is in its log nevertheless.
        answer = self.answer
        return (
            event.type == "message"
            and event.seq is not None
            and answer is not None
            and answer.running
            and answer.message_id == event.message_id
            and event.seq > answer.seq + 1
            and not self._gap_given_up
        )

    async def _fill_gap(self) -> None:
        with contextlib.suppress(ConnectionGone):  # then it is filled when it is back
            await self.on_back()

    def on_lost(self) -> None:
        """From now on events may be missed."""
        if self._repair is not None:
            self._repair.cancel()
        self._held = []

    async def on_back(self) -> None:
        """Ask for what was missed of the answer in flight.

        :raises ConnectionGone: the connection broke again.
        """
        if self._held is None:
            self._held = []
        try:
            if self.answer is not None and self.answer.running:
                await self._catch_up(self.answer)
            elif self.chat_id:
                await self._wire.call("join-chat", {"chat_id": self.chat_id})
        except ConnectionGone:
            raise
        except ClientError as error:
            self._gap_given_up = True
            self._screen.error(f"what was missed could not be had: {error.message}")
        self._release()

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for event in held:
            self.on_event(event)

    async def _catch_up(self, answer: Answer) -> None:
        request = {"chat_id": self.chat_id, "message_id": answer.message_id}
        for last_seq in (answer.seq, 0):
            reply = await self._wire.call("join-chat", {**request, "last_seq": last_seq})
            stream = streams_of(reply).get(answer.message_id)
            if stream is None:
                await self._settle(answer)
                return
            piece = answer.catch_up(stream)
            if piece is not None:
                self._show(piece)
                return

    async def _settle(self, answer: Answer) -> None:
        """The answer is not in flight any more: take its end from the store."""
        # Asked for but not yet begun: its events, or the refusal, are still to come.
        for _ in range(_RECHECKS if self._begun else 1):
            chat = await self._api.chat(self.chat_id)
            message = mapping(messages_of(chat).get(answer.message_id))
            ending = ending_of(message)
            if ending is not None:
                self._show(answer.settle(text(message.get("content"))))
                reason = message.get("error")
                answer.end(ending, error_text(reason) if reason else "")
                return
            if self._begun:
                await asyncio.sleep(_RECHECK_SECONDS)
        if self._begun:
            answer.end(Ending.INTERRUPTED)

    def _take(self, event: ChatEvent) -> None:
        answer, data = self.answer, event.data
        if event.type == "chat:title":
            self._title = text(data.get("value")) or text(data.get("title"))
            return
        if answer is None or event.message_id != answer.message_id or not answer.running:
            return
        match event.type:
            case "message":
                self._show(answer.append(event.seq, text(data.get("content"))))
            case "replace":
                self._show(answer.replace(event.seq, text(data.get("content"))))
            case "status":
                self._screen.status(data)
            case "source":
                if data.get("source"):
                    self._sources.append(data)
            case "files" | "embeds":
                self._screen.files(event.type.removesuffix("s"), data.get(event.type))
            case "chat:message:error":
                answer.end(Ending.FAILED, error_text(data))
            case "chat:tasks:cancel":
                answer.end(Ending.STOPPED)
            case "chat:completion":
                self._completed(answer, data)

    def _completed(self, answer: Answer, data: Mapping[str, Any]) -> None:
        if data.get("error"):
            answer.end(Ending.FAILED, error_text(data["error"]))
        elif data.get("done"):
            if isinstance(data.get("content"), str):
                self._show(answer.settle(data["content"]))
            answer.end(ending_of(data) or Ending.FINISHED)

    # -- the answer on the screen ----------------------------------------------------

    def _begin(self, message_id: str) -> Answer:
        self._tasks, self._sources, self._begun = [], [], False
        self._gap_given_up = self._stopping = False
        self.answer = Answer(message_id)
        return self.answer

    async def _to_the_end(self, answer: Answer) -> Ending:
        using = asyncio.create_task(self._tell_usage())
        try:
            ending = await asyncio.shield(answer.ended)
        finally:
            using.cancel()
            self.on_answered()
        self.turns.append(Turn(answer.message_id, "assistant", answer.content))
        self._screen.end_line()
        self._screen.sources(self._sources)
        if self._title:
            self._screen.notice(f"title of the chat: {self._title}")
            self._title = ""
        match ending:
            case Ending.FAILED:
                self._screen.error(answer.reason)
            case Ending.STOPPED if not self._stopping:
                self._screen.notice("the answer was stopped")
            case Ending.INTERRUPTED:
                self._screen.error(f"interrupted: {answer.reason or _NO_LONGER_ANSWERED}")
        return ending

    async def _tell_usage(self) -> None:
        while True:
            await self._wire.emit("usage", {"model": self.model})
            await asyncio.sleep(1)

    def _show(self, piece: Piece) -> None:
        if piece.rewritten:
            self._screen.end_line()
            self._screen.notice("the answer was rewritten:")
        self._screen.stream(piece.text)

    def _show_history(self, title: str) -> None:
        self._screen.heading(title or "Untitled")
        left_out = len(self.turns) - _HISTORY_SHOWN
        if left_out > 0:
            self._screen.notice(f"({left_out} earlier messages)")
        for turn in self.turns[-_HISTORY_SHOWN:]:
            self._screen.said("you" if turn.role == "user" else turn.role, turn.content)


def _nothing() -> None:
    pass
