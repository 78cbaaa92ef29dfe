"""The contract's rows with python-socketio's client."""

from tests.clients.python_checks import (
    caller,
    channels,
    chat,
    connect,
    documents,
    emitter,
    session,
)
from tests.clients.python_checks.registry import CHECKS, run_checks

__all__ = [
    "CHECKS", "caller", "channels", "chat", "connect", "documents", "emitter", "run_checks",
    "session",
]  # fmt: skip
