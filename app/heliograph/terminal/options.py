"""What ``heliograph chat`` was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Transport = Literal["auto", "websocket", "polling"]

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """The options of one run; the meaning of each is in the command's help.

    :ivar answers: replies to dialogs, in order, for a run with ``messages``.
    :ivar timeout: seconds that one answer of such a run may take.
    """

    url: str = DEFAULT_URL
    email: str = ""
    password: str = field(default="", repr=False)
    name: str = ""
    signup: bool = False
    token: str = field(default="", repr=False)
    model: str = ""
    chat: str = ""
    channel: str = ""
    transport: Transport = "auto"
    messages: tuple[str, ...] = ()
    answers: tuple[str, ...] = field(default=(), repr=False)
    timeout: float = 120.0
    plain: bool = False
