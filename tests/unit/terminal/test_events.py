"""From the wire to typed events."""

from __future__ import annotations

from typing import Any

import pytest

from heliograph.terminal.events import error_text, parse_channel_event, parse_chat_event


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("chat:message:delta", "message"),
        ("chat:message", "replace"),
        ("chat:message:files", "files"),
        ("chat:message:embeds", "embeds"),
        ("citation", "source"),
        ("status", "status"),
    ],
)
def test_aliases_are_one_type(long: str, short: str) -> None:
    event = parse_chat_event({"chat_id": "c", "message_id": "m", "data": {"type": long}})
    assert event is not None
    assert event.type == short


def test_an_envelope_is_read_with_its_number_and_call() -> None:
    raw = {
        "chat_id": "c",
        "message_id": "m",
        "data": {"type": "message", "data": {"content": "hi"}},
        "seq": 4,
        "call_id": "k",
    }
    event = parse_chat_event(raw)
    assert event is not None
    assert (event.chat_id, event.message_id, event.seq, event.call_id) == ("c", "m", 4, "k")
    assert event.data == {"content": "hi"}


@pytest.mark.parametrize("raw", [None, "x", 5, [], {}, {"data": "x"}, {"data": {"type": 5}}])
def test_what_is_no_event_is_nothing(raw: Any) -> None:
    assert parse_chat_event(raw) is None
    assert parse_channel_event(raw) is None


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("plain", "plain"),
        ({"message": "m", "code": "c"}, "m"),
        ({"content": "c"}, "c"),
        ({"detail": "d", "code": "c"}, "d"),
        ({"error": {"message": "inner"}}, "inner"),
        ({"code": "only_a_code"}, "the server said only: only_a_code"),
        (None, "the server gave no reason"),
    ],
)
def test_an_error_has_words_in_every_shape(raw: Any, words: str) -> None:
    assert error_text(raw) == words
