"""Awareness of both dialects: read, rewritten to the server's record, and removed."""

from __future__ import annotations

import json
from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.documents.awareness import (
    AwarenessState,
    decode_awareness,
    encode_awareness,
    removal,
    rewrite,
)
from heliograph.documents.updates import BadUpdate

ADA = {"id": "u1", "name": "Ada"}
client_ids = st.integers(0, 2**53)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
states = st.lists(
    st.builds(
        AwarenessState,
        client_ids,
        st.integers(0, 2**31),
        st.none() | st.dictionaries(st.text(max_size=8), json_values, max_size=4),
    ),
    max_size=8,
    unique_by=lambda each: each.client_id,
)


def of_yjs(state: dict[str, Any] | None) -> tuple[int, bytes]:
    """A state as pycrdt's own implementation of y-protocols writes it."""
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=1234567890123)
    awareness = pycrdt.Awareness(doc)
    awareness.set_local_state(state)
    return doc.client_id, awareness.encode_awareness_update([doc.client_id])


@given(states)
def test_what_is_encoded_is_decoded(sent: list[AwarenessState]) -> None:
    assert decode_awareness(encode_awareness(sent)) == sent


@given(states)
def test_the_json_dialect_keeps_everything_but_the_clock(sent: list[AwarenessState]) -> None:
    clockless = [AwarenessState(each.client_id, 0, each.state) for each in sent]
    assert decode_awareness(encode_awareness(sent, "json")) == clockless


def test_an_update_of_another_implementation_is_decoded() -> None:
    client_id, update = of_yjs({"cursor": {"anchor": 3}, "user": {"name": "é"}})
    (state,) = decode_awareness(update)
    assert state == AwarenessState(client_id, 1, {"cursor": {"anchor": 3}, "user": {"name": "é"}})


def test_the_name_in_every_state_is_the_servers() -> None:
    client_id, update = of_yjs({"cursor": 3, "user": {"id": "root", "name": "M", "color": "#f00"}})
    (state,) = decode_awareness(rewrite(update, ADA))
    assert state.state == {"cursor": 3, "user": {"id": "u1", "name": "Ada", "color": "#f00"}}
    assert (state.client_id, state.clock) == (client_id, 1)


def test_a_state_without_a_user_gets_one() -> None:
    _, update = of_yjs({"user": "root"})
    assert decode_awareness(rewrite(update, ADA))[0].state == {"user": ADA}


def test_a_rewritten_update_is_accepted_by_another_implementation() -> None:
    client_id, update = of_yjs({"cursor": 1})
    receiver = pycrdt.Awareness(pycrdt.Doc())
    receiver.apply_awareness_update(rewrite(update, ADA), "test")
    assert receiver.states[client_id] == {"cursor": 1, "user": ADA}


def test_the_json_dialect_of_old_clients_stays_json() -> None:
    sent = json.dumps({"42": {"user": {"name": "root"}, "cursor": None}, "43": None}).encode()
    assert json.loads(rewrite(sent, ADA)) == {"42": {"user": ADA, "cursor": None}, "43": None}


def test_a_removal_takes_a_client_away_from_the_others() -> None:
    client_id, update = of_yjs({"cursor": 1})
    receiver = pycrdt.Awareness(pycrdt.Doc())
    receiver.apply_awareness_update(update, "test")
    (state,) = decode_awareness(update)
    receiver.apply_awareness_update(removal({client_id: state.clock}), "test")
    assert client_id not in receiver.states


def test_a_removal_speaks_the_dialect_asked_for() -> None:
    assert removal({7: 0}, "json") == b'{"7":null}'


@pytest.mark.parametrize(
    "update",
    [
        b"",
        b"\x01",
        b"\x01\x01\x01\x05null",
        b"\x00\x00",
        b"\x01\x01\x01\x02[]",
        b"\x01\x01\x01\x03NaN",
        b'\x01\x01\x01\x09{"a":NaN}',
        b"\x01\x01\x01\x02\xff\xff",
        b"\xff\xff\xff\xff\x07",
        b"{",
        b"{}{}",
        b'{"x":{}}',
        b'{"-1":{}}',
        b'{"1":[]}',
        b'{"99999999999999999":{}}',
        b'{"1":\xff}',
        b'{"1":' + b"[" * 50_000,
    ],
)
def test_a_malformed_update_is_refused(update: bytes) -> None:
    with pytest.raises(BadUpdate) as refused:
        rewrite(update, ADA)
    assert refused.value.code == "malformed"


def test_too_many_states_are_refused() -> None:
    many = encode_awareness(AwarenessState(i, 1, {}) for i in range(5))
    with pytest.raises(BadUpdate) as refused:
        decode_awareness(many, max_states=4)
    assert refused.value.code == "too_large"


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(BadUpdate) as refused:
        decode_awareness(of_yjs({"a": "x" * 100})[1], max_bytes=100)
    assert refused.value.code == "too_large"
