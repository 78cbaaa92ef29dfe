"""From a question to a settled answer: the work of one chat task.

model → deltas → tools → model … → end. However it ends (by itself, stopped, interrupted,
with an error) what had arrived is kept, the message says which, and its owner is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from heliograph.chat.caller import Caller
from heliograph.chat.emitter import Emitter
from heliograph.chat.info import RequestInfo
from heliograph.chat.models import Model, UpstreamError
from heliograph.chat.outlet import MAX_TOLD, Outlet
from heliograph.chat.rows import Ending
from heliograph.chat.stream import Stream
from heliograph.chat.tools import Offered, ToolError
from heliograph.chat.turn import ToolCall, Turn
from heliograph.errors import HeliographError, Unavailable
from heliograph.tasks import Task, Tasks
from heliograph.telemetry import get_logger

log = get_logger(__name__)

MAX_ROUNDS = 10
"""How often one answer may go to tools and back."""


_END_ATTEMPTS = 40  # each waits as long as a publish does, DELIVERY_DEADLINE_SECONDS
_END_PAUSE = 0.5


@dataclass(slots=True)
class Job:
    """One answer to be written."""

    info: RequestInfo
    model: Model
    body: dict[str, Any]
    stream: Stream
    outlet: Outlet
    tools: Mapping[str, Offered]
    title: str | None = None
    usage: dict[str, Any] | None = field(default=None)


class Pipeline:
    """Does jobs, as the work of tasks."""

    def __init__(self, emitter: Emitter, caller: Caller, tasks: Tasks) -> None:
        self._emitter = emitter
        self._caller = caller
        self._tasks = tasks
        self._without_tools: set[str] = set()  # models that refuse requests with tools

    async def run(self, task: Task, job: Job) -> None:
        """Write the answer.

        :raises HeliographError: it ended with this error, of which the user was told.
        :raises asyncio.CancelledError: the task was stopped or interrupted.
        """
        failure: BaseException | None = None
        runner = asyncio.current_task()
        assert runner is not None
        job.stream.on_taken = runner.cancel
        try:
            await self._tell(job, "chat:active", {"active": True})
            if job.title is not None:
                await self._tell(job, "chat:title", job.title)
            await self._answer(job)
            ending = Ending("finished", usage=job.usage)
        except asyncio.CancelledError as error:
            failure = error
            ending = Ending(task.ending or "interrupted", usage=job.usage)
        except HeliographError as error:
            failure = error
            ending = _failed(error.message, error.code, job.usage)
        except Exception as error:
            failure = error
            ending = _failed("The server failed to write this answer.", "internal", job.usage)
        task.commit()
        job.stream.on_taken = _nothing
        await job.stream.end(ending, lambda: self._announce(job, ending))
        if job.stream.taken:
            raise failure if failure is not None else asyncio.CancelledError
        await self._tell(job, "chat:active", {"active": await self._is_busy(task, job)})
        if failure is not None:
            raise failure

    async def _is_busy(self, task: Task, job: Job) -> bool:
        try:
            others = await self._tasks.of_item(job.info.chat_id, user_id=job.info.user_id)
        except HeliographError as error:
            log.warning("chat.tasks_unknown", error=error.message)
            return False
        return any(other.id != task.id for other in others)

    # -- telling ---------------------------------------------------------------------

    async def _tell(self, job: Job, kind: str, data: Any) -> None:
        """Send an event; one that cannot be sent does not harm the answer."""
        if isinstance(data, dict) and kind == "chat:active":
            data = {**data, "message_id": job.info.message_id}
        try:
            await job.outlet.send(kind, data)
        except Exception:
            log.exception("chat.event_failed", kind=kind)

    async def _tell_end(self, job: Job, kind: str, data: Any) -> None:
        """Send how it ended; again and again while nothing can be published, since a page
        that does not hear of it shows an answer that goes on for ever."""
        for _ in range(_END_ATTEMPTS):
            try:
                await job.outlet.send(kind, data)
            except Unavailable as error:
                log.warning("chat.end_not_told", kind=kind, error=error.message)
                if error.code == "draining":
                    return
                await asyncio.sleep(_END_PAUSE)
            except Exception:
                log.exception("chat.event_failed", kind=kind)
                return
            else:
                return

    async def _announce(self, job: Job, ending: Ending) -> None:
        if ending.state == "stopped":
            await self._tell_end(job, "chat:tasks:cancel", {"state": "stopped"})
        elif ending.state == "error":
            await self._tell_end(job, "chat:message:error", {"error": ending.error})
        else:
            said: dict[str, Any] = {"done": True, "state": ending.state}
            if job.stream.size <= MAX_TOLD:
                said["content"] = job.stream.content
            if ending.usage is not None:
                said["usage"] = ending.usage
            if job.title is not None:
                said["title"] = job.title
            await self._tell_end(job, "chat:completion", said)

    # -- model and tools -------------------------------------------------------------

    async def _answer(self, job: Job) -> None:
        messages = job.body["messages"]
        for _ in range(MAX_ROUNDS):
            turn = await self._turn(job)
            if not turn.calls:
                return
            for number, call in enumerate(turn.calls):
                call.id = call.id or f"call_{len(messages)}_{number}"
            messages.append(
                {
                    "role": "assistant",
                    "content": "".join(turn.text) or None,
                    "tool_calls": [call.as_dict() for call in turn.calls],
                }
            )
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(self._run_tool(job, call)) for call in turn.calls]
            messages += [
                {"role": "tool", "tool_call_id": call.id, "content": ran.result()}
                for call, ran in zip(turn.calls, running, strict=True)
            ]
        raise UpstreamError(
            f"The model called tools more than {MAX_ROUNDS} times in one answer.",
            code="too_many_tool_rounds",
        )

    async def _turn(self, job: Job) -> Turn:
        model = str(job.body.get("model"))
        offered = [tool.as_dict() for tool in job.tools.values()]
        if not offered or model in self._without_tools:
            return await self._listen(job, job.body)
        try:
            return await self._listen(job, {**job.body, "tools": offered})
        except UpstreamError as error:
            # Some models answer no request that offers tools.
            if error.status != 400 or "tool" not in error.message.lower():
                raise
            turn = await self._listen(job, job.body)
            self._without_tools.add(model)
            return turn

    async def _listen(self, job: Job, body: dict[str, Any]) -> Turn:
        turn = Turn()
        stream = job.stream
        apart = stream.size > 0 and any(m.get("role") == "tool" for m in body["messages"])
        async with contextlib.aclosing(job.model.chunks(body)) as chunks:
            async for chunk in chunks:
                text = turn.add(chunk)
                if text:
                    if apart:  # what it says after tools is another paragraph
                        stream.append("\n\n")
                        apart = False
                    stream.append(text)
                if turn.usage is not None:
                    job.usage = turn.usage
        return turn

    async def _run_tool(self, job: Job, call: ToolCall) -> str:
        async def emit(event: Any) -> None:
            await self._emitter.emit(job.info, event)

        async def ask(event: Any) -> Any:
            return await self._caller.call(job.info, event)

        tool = job.tools.get(call.name)
        await self._status(job, call, f"Running {call.name}", done=False)
        try:
            if tool is None:
                raise ToolError(f"there is no tool {call.name!r}")
            result = await tool.run(call.arguments, emit=emit, call=ask, info=job.info)
        except ToolError as error:
            await self._status(job, call, f"{call.name} failed: {error}", done=True, failed=True)
            return f"error: {error}"
        await self._status(job, call, f"{call.name} done", done=True)
        return result

    async def _status(
        self, job: Job, call: ToolCall, description: str, *, done: bool, failed: bool = False
    ) -> None:
        data = {
            "action": "tool",
            "tool": call.name,
            "call_id": call.id,
            "description": description[:2_000],
            "done": done,
            **({"error": True} if failed else {}),
        }
        try:
            await self._emitter.emit(job.info, {"type": "status", "data": data})
        except Exception as error:
            # The tool goes on without its status: what it does matters more.
            log.warning("chat.status_failed", error=f"{type(error).__name__}: {error}"[:300])


def _nothing() -> None:
    """It is ending anyway."""


def _failed(sentence: str, code: str, usage: dict[str, Any] | None) -> Ending:
    return Ending("error", error={"content": sentence, "code": code}, usage=usage)
