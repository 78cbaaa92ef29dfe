"""``heliograph chat``: a small terminal client over Socket.IO.

Purpose: sign in, stream answers, stop them, answer dialogs and watch a channel, by hand
or, with ``--message``, as a smoke test whose exit code says whether every answer finished.
Guarantee: no token of an answer is printed twice or lost, also over broken connections.
Limits: it speaks the public contract only and imports nothing of the server.
"""

from heliograph.terminal.command import register, run_chat
from heliograph.terminal.failures import ClientError
from heliograph.terminal.options import ChatOptions

__all__ = ["ChatOptions", "ClientError", "register", "run_chat"]
