"""What goes wrong on the client's side, in a sentence for a person."""

from __future__ import annotations

EXIT_FINISHED = 0
"""Everything that was asked for came to its end."""

EXIT_UNFINISHED = 1
"""An answer failed, was stopped, was interrupted or took too long."""

EXIT_NOT_STARTED = 2
"""Nothing could begin: wrong options, no server, refused sign-in, no such chat."""

EXIT_INTERRUPTED = 130
"""Ctrl-C outside the prompt, as shells count it."""


class ClientError(Exception):
    """A refusal or a failure.

    :param message: one sentence that says what to do.
    :param code: the server's code when it had one, e.g. ``signup_disabled``.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ConnectionGone(ClientError):
    """The socket broke while something was asked over it; it will come back by itself."""
