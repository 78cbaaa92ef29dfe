"""Four tools that ship with the server: each shows one way to use ``emit`` and ``call``.

With the echo model: ``/status {"description": "Looking around"}``, ``/confirm {}``,
``/ask {"message": "Your name?"}``, ``/python {"code": "print(6 * 7)"}``.
"""

from __future__ import annotations

import uuid
from typing import Any

from heliograph.chat.api import Call, Emit


async def status(emit: Emit, description: str = "Working", done: bool = True) -> str:
    """Show the user a line about what is going on.

    :param description: the line.
    :param done: whether that work is done.
    """
    await emit({"type": "status", "data": {"description": description, "done": done}})
    return f"status shown: {description}"


async def confirm(call: Call, title: str = "Please confirm", message: str = "Go on?") -> str:
    """Ask the user a yes-or-no question and wait for the answer.

    :param title: heading of the dialog.
    :param message: the question.
    """
    answer = await call({"type": "confirmation", "data": {"title": title, "message": message}})
    return "the user confirmed" if answer is True else "the user declined"


async def ask(
    call: Call,
    title: str = "A question",
    message: str = "What do you say?",
    placeholder: str = "",
    value: str = "",
) -> str:
    """Ask the user to type something and wait for it.

    :param title: heading of the dialog.
    :param message: what is asked for.
    :param placeholder: hint in the empty field.
    :param value: what stands in the field already.
    """
    data = {"title": title, "message": message, "placeholder": placeholder, "value": value}
    answer = await call({"type": "input", "data": data})
    return f"the user answered: {answer}" if isinstance(answer, str) else "the user cancelled"


async def python(call: Call, code: str) -> Any:
    """Run Python in the user's browser and return what it printed and its result.

    :param code: the program.
    """
    data = {"id": str(uuid.uuid4()), "code": code, "files": []}
    return await call({"type": "execute:python", "data": data})


ALL = (status, confirm, ask, python)
