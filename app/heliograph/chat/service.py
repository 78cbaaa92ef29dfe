"""The front of the chat feature: chats, answers, emitter and caller of one application."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from heliograph.chat import api
from heliograph.chat.caller import Caller
from heliograph.chat.direct import DirectChannels
from heliograph.chat.echo import Echo
from heliograph.chat.emitter import Emitter
from heliograph.chat.info import RequestInfo
from heliograph.chat.messages import MessageRepository, NewMessage
from heliograph.chat.models import Model, ModelList
from heliograph.chat.outlet import Outlet, chat_room, is_local
from heliograph.chat.pipeline import Job, Pipeline
from heliograph.chat.plain import plain_answer, plain_stream
from heliograph.chat.repository import Access, ChatRepository
from heliograph.chat.requests import (
    CompletionRequest,
    branch,
    check_messages,
    model_body,
    title_from,
)
from heliograph.chat.streams import Stream, Streams
from heliograph.chat.text import clean_text, text_of
from heliograph.chat.tools import ToolBox, load_tools
from heliograph.chat.updates import ChatUpdates, ClientChat, read_client_chat
from heliograph.chat.upstream import Upstream
from heliograph.chat.view import chat_view, list_entry
from heliograph.delivery import Calls, Hub, Lifecycle, Session, user_room
from heliograph.errors import BadPayload, CallFailed, Forbidden, NotFound
from heliograph.principal import Principal
from heliograph.settings import Settings
from heliograph.store import Database
from heliograph.tasks import Task, TaskOutcome, TaskRecord, Tasks
from heliograph.telemetry import get_logger

log = get_logger(__name__)
