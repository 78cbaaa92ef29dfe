"""Chat: answers of models as streams that can be stopped and resumed, with their events.

``get_event_emitter`` and ``get_event_call`` are the public API for code in the server.
"""

from heliograph.chat.api import Call, Emit, get_event_call, get_event_emitter
from heliograph.chat.models import UpstreamError
from heliograph.chat.redis_streams import RedisHotLog
from heliograph.chat.requests import ChatId, CompletionRequest, MessageId
from heliograph.chat.service import Chat
from heliograph.chat.updates import ClientChat

__all__ = [
    "Call",
    "Chat",
    "ChatId",
    "ClientChat",
    "CompletionRequest",
    "Emit",
    "MessageId",
    "RedisHotLog",
    "UpstreamError",
    "get_event_call",
    "get_event_emitter",
]
